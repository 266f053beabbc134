#include "data/loader.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/permutation.h"

namespace hadal::data {

namespace {

int64_t window_count(const TokenDataset& dataset, int64_t seq_len) {
    return std::max<int64_t>(0, (dataset.tokens() - 1) / seq_len);
}

void check_window(int64_t seq_len) {
    if (seq_len < 1 || seq_len > (int64_t(1) << 30)) {
        throw Error(Error::Kind::bad_input, concat("sequence length ", seq_len, " (1 to 2^30)"));
    }
}

TokenDataset open_for(const std::filesystem::path& path, int64_t seq_len) {
    TokenDataset dataset = TokenDataset::open(path);
    if (window_count(dataset, seq_len) == 0) {
        throw Error(
            Error::Kind::bad_input,
            concat("data set of ", dataset.tokens(), " tokens is shorter than one window of ",
                   seq_len + 1, ": ", path.string(), " (add documents or shorten the sequences)"));
    }
    return dataset;
}

void read_window(const TokenDataset& dataset, int64_t window, int64_t vocab_size,
                 std::span<int32_t> out) {
    const int64_t begin = window * (int64_t(out.size()) - 1);
    dataset.copy(begin, out);
    for (size_t i = 0; i < out.size(); ++i) {
        if (out[i] >= 0 && out[i] < vocab_size) continue;
        const int64_t position = begin + int64_t(i);
        throw Error(Error::Kind::bad_input,
                    concat("token id ", out[i], " is outside the vocabulary of ", vocab_size,
                           ": token ", position, ", document ", dataset.document_of(position),
                           " of ", dataset.path().string(), " (pack with this model's tokenizer)"));
    }
}

std::vector<double> weights_of(const std::vector<MixtureSource>& sources) {
    std::vector<double> weights;
    for (const MixtureSource& source : sources) weights.push_back(source.weight);
    return weights;
}

}  // namespace

Loader::Loader(std::vector<MixtureSource> sources, int64_t seq_len, uint64_t seed,
               int64_t vocab_size)
    : schedule_(weights_of(sources)),
      seq_len_(seq_len),
      seed_(seed),
      vocab_size_(vocab_size),
      fingerprint_(random_bits(seed, uint64_t(seq_len), sources.size())) {
    check_window(seq_len);
    for (size_t i = 0; i < sources.size(); ++i) {
        datasets_.push_back(open_for(sources[i].path, seq_len));
        fingerprint_ = random_bits(fingerprint_, datasets_[i].fingerprint(),
                                   uint64_t(schedule_.share(int64_t(i))));
    }
}

int64_t Loader::windows() const {
    int64_t windows = 0;
    for (const TokenDataset& dataset : datasets_) windows += window_count(dataset, seq_len_);
    return windows;
}

std::vector<SourceIdentity> Loader::sources() const {
    std::vector<SourceIdentity> sources;
    for (const TokenDataset& dataset : datasets_) {
        sources.push_back({.name = dataset.path().filename().string(),
                           .tokens = dataset.tokens(),
                           .fingerprint = dataset.fingerprint()});
    }
    return sources;
}

Loader::Place Loader::place(int64_t sample) const {
    const auto [source, ordinal] = schedule_.turn(sample);
    const int64_t windows = window_count(datasets_[size_t(source)], seq_len_);
    const int64_t epoch = ordinal / windows;
    const uint64_t key = random_bits(seed_, uint64_t(source), uint64_t(epoch));
    return {source, epoch, permuted(ordinal % windows, windows, key)};
}

Tensor Loader::samples(int64_t first, int64_t count) const {
    HADAL_ASSERT(first >= 0 && count >= 0);
    Tensor ids = Tensor::uninitialized({count, seq_len_ + 1}, DType::i32);
    for (int64_t i = 0; i < count; ++i) {
        const Place at = place(first + i);
        read_window(datasets_[size_t(at.source)], at.window, vocab_size_, ids.row<int32_t>(i));
    }
    return ids;
}

int64_t Loader::resume(const LoaderPosition& position) const {
    if (position.fingerprint != fingerprint_ || position.samples < 0) {
        throw Error(
            Error::Kind::bad_input,
            "the snapshot's position belongs to other data, weights, sequence length or seed "
            "(resume with the recipe and the packed files that it was made with)");
    }
    return position.samples;
}

ValidationLoader::ValidationLoader(const std::vector<std::filesystem::path>& paths, int64_t seq_len,
                                   int64_t vocab_size)
    : seq_len_(seq_len), vocab_size_(vocab_size) {
    check_window(seq_len);
    // Sorted by how far through its set a window lies, (window + ½) / windows.
    std::vector<std::pair<double, Entry>> order;
    for (size_t source = 0; source < paths.size(); ++source) {
        datasets_.push_back(open_for(paths[source], seq_len));
        const int64_t windows = window_count(datasets_.back(), seq_len);
        for (int64_t window = 0; window < windows; ++window) {
            order.push_back({(double(window) + 0.5) / double(windows), {int64_t(source), window}});
        }
    }
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : a.second.source < b.second.source;
    });
    for (const auto& [key, entry] : order) order_.push_back(entry);
}

Tensor ValidationLoader::samples(int64_t first, int64_t count) const {
    HADAL_ASSERT(first >= 0 && count >= 0 && first + count <= windows());
    Tensor ids = Tensor::uninitialized({count, seq_len_ + 1}, DType::i32);
    for (int64_t i = 0; i < count; ++i) {
        const Entry& entry = order_[size_t(first + i)];
        read_window(datasets_[size_t(entry.source)], entry.window, vocab_size_,
                    ids.row<int32_t>(i));
    }
    return ids;
}

}  // namespace hadal::data
