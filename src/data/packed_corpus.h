// What `data pack` leaves in a folder: a pair of token files for each source and split, and
// manifest.json, which says what they hold and what they were made with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document.h"
#include "data/loader.h"

namespace hadal::data {

struct PackedSplit {
    int64_t documents = 0;
    int64_t tokens = 0;
    int64_t text_bytes =
        0;  // of the documents' text: nats per token × tokens ÷ bytes gives nats per byte
    std::string hash;  // of the ids as stored
};

struct PackedSource {
    std::string name;
    double weight = 1;  // how much more often than its size it is to be seen
    std::optional<PackedSplit> train;
    std::optional<PackedSplit> validation;

    const std::optional<PackedSplit>& split(Split which) const {
        return which == Split::train ? train : validation;
    }
};

class PackedCorpus {
  public:
    /// Reads FOLDER/manifest.json and checks it. Error(corrupt_file) names the field.
    static PackedCorpus open(const std::filesystem::path& folder);
    void write(const std::filesystem::path& folder) const;

    /// The training sets, each with the share weight · tokens.
    std::vector<MixtureSource> training() const;
    /// The validation sets that hold at least one window; paths as ValidationLoader takes them.
    std::vector<std::filesystem::path> validation(int64_t seq_len) const;

    /// Over all sources.
    PackedSplit total(Split split) const;
    /// FOLDER/SOURCE.SPLIT, without the extension.
    std::filesystem::path set_path(const PackedSource& source, Split split) const;

    std::filesystem::path folder;
    std::vector<PackedSource> sources;
    int64_t vocab_size = 0;
    std::string tokenizer_hash;  // of tokenizer.json; "" if it was not packed with a file
    double middle_rate = 0;      // of fill-in-the-middle, training documents only
    uint64_t seed = 0;
};

}  // namespace hadal::data
