// Which source a training sample comes from: a fixed cycle in which every source has its share,
// spread evenly, so that each batch holds nearly the same mixture and the answer for any sample is
// one look into a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hadal::data {

class MixtureSchedule {
  public:
    /// Weights are relative. Error(bad_input) unless all are finite and positive.
    explicit MixtureSchedule(const std::vector<double>& weights);

    struct Turn {
        int64_t source;
        int64_t ordinal;  // how many samples of this source came before
    };
    Turn turn(int64_t sample) const;

    /// Samples of a source in one cycle; the sum over the sources is kCycle.
    int64_t share(int64_t source) const {
        return shares_[size_t(source)];
    }
    /// A weight is rounded to this fraction; a positive one never to nothing.
    static constexpr int64_t kCycle = 65536;

  private:
    struct Entry {
        int32_t source;
        int32_t rank;  // of this sample among its source's in the cycle
    };
    std::vector<int64_t> shares_;
    std::vector<Entry> cycle_;
};

}  // namespace hadal::data
