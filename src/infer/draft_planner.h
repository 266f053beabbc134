// How many tokens to guess ahead. Guesses cost rows of the next step and passes of the MTP module;
// how much depends on the machine, the model and the batch: a single sequence waits for weights
// that serve several rows as well as one, a full batch does not. So both sides are measured:
// seconds of steps by their number of rows, and the share of guesses that come true. The number
// changes the speed of a text, never the text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace hadal::infer {

class DraftPlanner {
  public:
    /// Never more than `most` guesses; 0 switches all off.
    explicit DraftPlanner(int64_t most) : most_(most) {}

    /// A step of so many rows took so long, its MTP passes included: one for the step's own rows
    /// and one for each guess after the first.
    void observe_step(int64_t rows, double seconds);
    /// So many guesses were checked, the first `accepted` of them were right.
    void observe_guesses(int64_t guesses, int64_t accepted);

    /// Guesses for each of `sequences` sequences that generate: the number with the most expected
    /// tokens per second. What was never tried counts as cheap, and now and then one guess is made
    /// although it does not seem to pay, so that a change is seen.
    int64_t choose(int64_t sequences);

    /// Estimated probability that a guess is right, given that those before it were.
    double acceptance() const {
        return acceptance_;
    }

  private:
    static constexpr size_t kSizes = 24;

    double seconds_of(int64_t rows) const;

    int64_t most_;
    double acceptance_ = 0.7;
    // Mean seconds of steps whose rows round up to 2^i, 0 where none was seen.
    std::array<double, kSizes> seconds_{};
    int64_t steps_without_ = 0;  // since a guess was made
};

}  // namespace hadal::infer
