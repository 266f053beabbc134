// Finds values that stand out upwards from those before them: a loss or a gradient norm that
// jumps. Mean and standard deviation would be moved by the very jump they should find; the median
// and the median absolute deviation are not, as long as less than half of the window is jumps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hadal::optim {

struct SpikeSettings {
    int64_t window = 128;   // values that a new one is compared with; 0: finds nothing
    double threshold = 10;  // deviations above the median that make a spike
};

class SpikeDetector {
  public:
    struct Judgement {
        double median = 0;     // of the window
        double deviation = 0;  // (value − median) / spread
        bool spike = false;
    };

    explicit SpikeDetector(const SpikeSettings& settings) : settings_(settings) {}

    ///     spread = max(1.4826 · median |x − median|, 0.02 · |median|)
    /// 1.4826 makes the first the standard deviation of normally distributed values; the second
    /// keeps a curve that hardly moves from crying at every ripple. Judges nothing before the
    /// window is full or has 32 values. The value must be finite.
    Judgement judge(double value) const;

    /// Every finite value enters, spikes too: what was a jump is the normal case once half of the
    /// window is like it.
    void add(double value);

    /// Oldest first: what a snapshot must hold.
    std::span<const double> values() const {
        return values_;
    }
    /// Keeps the newest if there are more than the window holds.
    void restore(std::vector<double> values);

  private:
    SpikeSettings settings_;
    std::vector<double> values_;
};

}  // namespace hadal::optim
