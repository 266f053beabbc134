// Training and validation samples out of packed token ids. A sample is a window of seq_len + 1
// consecutive ids over the concatenated documents (V3 report §4.1: packed, no mask between
// documents): inputs are the first seq_len, targets the last. Windows overlap by one id, so that
// every id but the first is a target once an epoch. Everything is a pure function of (seed, sample
// index): any rank, any batch size, any moment of a resume gets the same samples, and the position
// to store is (fingerprint, samples consumed).
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/mixture.h"
#include "data/token_dataset.h"

namespace hadal::data {

struct MixtureSource {
    std::filesystem::path path;  // of a TokenDataset, without the extension
    double weight = 1;           // share of the samples, relative to the other sources'
};

/// The position of a run in its data, for a snapshot.
struct LoaderPosition {
    uint64_t fingerprint = 0;  // of data, weights, window and seed: another one means other samples
    int64_t samples = 0;       // consumed
};

/// What a snapshot remembers of one source, to say later which one changed.
struct SourceIdentity {
    std::string name;  // file name without the folder: folders may move
    int64_t tokens = 0;
    uint64_t fingerprint = 0;
};

class Loader {
  public:
    /// Error(bad_input) for bad weights, a source shorter than one window; ids are checked against
    /// `vocab_size` as they are read.
    Loader(std::vector<MixtureSource> sources, int64_t seq_len, uint64_t seed,
           int64_t vocab_size = std::numeric_limits<int32_t>::max());

    /// Samples [first, first + count).
    Tensor samples(int64_t first, int64_t count) const;  // → [count, seq_len + 1] i32

    /// Windows of all sources together: one epoch, were the weights those of the sizes.
    int64_t windows() const;
    int64_t seq_len() const {
        return seq_len_;
    }

    /// Where a sample lies: source, how often that source was seen through before, and which of its
    /// windows.
    struct Place {
        int64_t source;
        int64_t epoch;
        int64_t window;
    };
    Place place(int64_t sample) const;

    uint64_t fingerprint() const {
        return fingerprint_;
    }
    std::vector<SourceIdentity> sources() const;
    LoaderPosition position(int64_t samples) const {
        return {fingerprint_, samples};
    }
    /// Samples consumed at a stored position. Error(bad_input) when it belongs to other data or
    /// another seed.
    int64_t resume(const LoaderPosition& position) const;

  private:
    std::vector<TokenDataset> datasets_;
    MixtureSchedule schedule_;
    int64_t seq_len_;
    uint64_t seed_;
    int64_t vocab_size_;
    uint64_t fingerprint_;
};

/// The windows of some data sets in an order that never changes and in which any beginning holds
/// every set in proportion to its size: for a validation loss over the first n windows.
class ValidationLoader {
  public:
    ValidationLoader(const std::vector<std::filesystem::path>& paths, int64_t seq_len,
                     int64_t vocab_size = std::numeric_limits<int32_t>::max());

    int64_t windows() const {
        return int64_t(order_.size());
    }
    Tensor samples(int64_t first, int64_t count) const;  // → [count, seq_len + 1] i32
    /// Which of the paths a window comes from.
    int64_t source_of(int64_t index) const {
        return order_[size_t(index)].source;
    }

  private:
    struct Entry {
        int64_t source;
        int64_t window;
    };
    std::vector<TokenDataset> datasets_;
    std::vector<Entry> order_;
    int64_t seq_len_;
    int64_t vocab_size_;
};

}  // namespace hadal::data
