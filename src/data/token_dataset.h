// Packed token ids on disk: the pair of files that Megatron-LM reads and writes, so that either
// side can use the other's data.
//   NAME.bin   the ids, one after the other, uint16 or int32, no header
//   NAME.idx   "MMIDIDX\0\0", u64 version 1, u8 type of ids, u64 sequences, u64 documents + 1,
//              i32 length[sequences], i64 byte offset in .bin[sequences], i64 first sequence of
//              document[documents + 1]
// All little-endian. Only what later versions may append (modes) is left out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/file_map.h"

namespace hadal::data {

/// A mapped pair. Copies share the mapping; reading from several threads is safe.
class TokenDataset {
  public:
    /// `path` without the extension. Both files are checked against each other before anything is
    /// used: Error(corrupt_file) names the file and the contradiction.
    static TokenDataset open(const std::filesystem::path& path);

    int64_t tokens() const {
        return tokens_;
    }
    int64_t sequences() const {
        return sequences_;
    }
    int64_t documents() const {
        return documents_;
    }
    const std::filesystem::path& path() const {
        return path_;
    }

    struct Range {
        int64_t begin;
        int64_t end;
    };
    /// Where a document's tokens lie.
    Range document(int64_t index) const;
    /// Which document the token at `position` belongs to.
    int64_t document_of(int64_t position) const;

    /// Ids from `begin` on, as many as `out` has room for.
    void copy(int64_t begin, std::span<int32_t> out) const;

    /// Names the content: sizes, and 64 MiB of ids in pieces spread evenly over the file, which is
    /// all of a small one. Cheap for any size; not the manifest's full hash.
    uint64_t fingerprint() const;
    /// Over all ids as stored, document by document: what a manifest records. Reads everything.
    uint64_t content_hash() const;

  private:
    int64_t sequence_begin(int64_t sequence) const;  // in tokens
    int64_t first_sequence(int64_t document) const;
    void check_index() const;

    std::filesystem::path path_;
    // Shared: a copy of the data set is a handle to the same mapping.
    std::shared_ptr<const FileMap> bin_;
    std::shared_ptr<const FileMap> idx_;
    int64_t width_ = 0;  // bytes of an id
    int64_t tokens_ = 0;
    int64_t sequences_ = 0;
    int64_t documents_ = 0;
};

/// Writes a pair, one sequence a document. The caller makes it atomic by writing into a folder
/// under a temporary name.
class TokenDatasetWriter {
  public:
    /// Vocabularies below 65 500 are stored as uint16, larger ones as int32: Megatron-LM's rule.
    TokenDatasetWriter(std::filesystem::path path, int64_t vocab_size);

    /// Error(internal) for an id outside the vocabulary.
    void add_document(std::span<const int32_t> ids);
    /// Writes the index. Nothing can be added after it.
    void finish();

    int64_t tokens() const {
        return tokens_;
    }
    int64_t documents() const {
        return int64_t(lengths_.size());
    }
    /// Over the ids of all documents in order, as stored.
    uint64_t hash() const {
        return hash_;
    }

  private:
    std::filesystem::path path_;
    int64_t vocab_size_;
    bool narrow_;
    std::ofstream bin_;
    std::vector<int32_t> lengths_;
    std::string bytes_;  // of the document being written
    int64_t tokens_ = 0;
    uint64_t hash_ = 0;
};

}  // namespace hadal::data
