#include "data/token_dataset.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "core/error.h"
#include "data/content_hash.h"

namespace hadal::data {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr int64_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr uint8_t kInt32 = 4;
constexpr uint8_t kUint16 = 8;
constexpr int64_t kNarrowVocabulary = 65500;

template <class T>
T load(std::string_view bytes, int64_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);  // the index is not aligned
    return value;
}

template <class T>
void append(std::string& bytes, T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

fs::path with_extension(fs::path path, const char* extension) {
    path += extension;  // not replace_extension: a name may contain dots
    return path;
}

[[noreturn]] void corrupt(const fs::path& path, const std::string& what) {
    throw Error(Error::Kind::corrupt_file,
                concat(what, ": ", path.string(), " (pack the documents again)"));
}

}  // namespace

TokenDataset TokenDataset::open(const fs::path& path) {
    TokenDataset dataset;
    dataset.path_ = path;
    dataset.idx_ = FileMap::open(with_extension(path, ".idx"));
    dataset.bin_ = FileMap::open(with_extension(path, ".bin"));
    const fs::path& idx = dataset.idx_->path();
    const std::string_view bytes = dataset.idx_->text();
    if (int64_t(bytes.size()) < kHeaderBytes || !bytes.starts_with(kMagic)) {
        corrupt(idx, "not an index of packed tokens (no MMIDIDX header)");
    }
    if (const auto version = load<uint64_t>(bytes, 9); version != 1) {
        throw Error(Error::Kind::unsupported,
                    concat("index version ", version, ", known is 1: ", idx.string()));
    }
    const auto code = load<uint8_t>(bytes, 17);
    if (code != kInt32 && code != kUint16) {
        throw Error(Error::Kind::unsupported,
                    concat("token type code ", int(code),
                           ", known are 4 (int32) and 8 (uint16): ", idx.string()));
    }
    dataset.width_ = code == kInt32 ? 4 : 2;
    const auto sequences = load<uint64_t>(bytes, 18);
    const auto boundaries = load<uint64_t>(bytes, 26);
    const uint64_t room =
        bytes.size();  // every entry takes at least 8 bytes: keeps the product small
    if (sequences > room / 8 || boundaries > room / 8 || boundaries == 0 ||
        room < uint64_t(kHeaderBytes) + sequences * 12 + boundaries * 8) {
        corrupt(idx, concat("index of ", sequences, " sequences and ", boundaries,
                            " document boundaries does not fit into its ", room, " bytes"));
    }
    dataset.sequences_ = int64_t(sequences);
    dataset.documents_ = int64_t(boundaries) - 1;
    dataset.tokens_ = int64_t(dataset.bin_->bytes().size()) / dataset.width_;
    dataset.check_index();
    return dataset;
}

void TokenDataset::check_index() const {
    const std::string_view bytes = idx_->text();
    int64_t offset = 0;
    const auto bin_bytes = int64_t(bin_->bytes().size());
    for (int64_t i = 0; i < sequences_; ++i) {
        const auto length = load<int32_t>(bytes, kHeaderBytes + 4 * i);
        if (length < 0) corrupt(idx_->path(), concat("sequence ", i, " has length ", length));
        if (const auto stored = load<int64_t>(bytes, kHeaderBytes + 4 * sequences_ + 8 * i);
            stored != offset) {
            corrupt(idx_->path(), concat("sequence ", i, " starts at byte ", stored,
                                         ", the ones before end at ", offset));
        }
        offset += length * width_;
    }
    if (offset != bin_bytes) {
        corrupt(bin_->path(), concat("has ", bin_bytes, " bytes, its index says ", offset));
    }
    int64_t previous = 0;
    for (int64_t i = 0; i <= documents_; ++i) {
        const int64_t first = first_sequence(i);
        if (first < previous || first > sequences_ || (i == 0 && first != 0) ||
            (i == documents_ && first != sequences_)) {
            corrupt(idx_->path(), concat("document ", i, " starts at sequence ", first, " of ",
                                         sequences_, ", the one before at ", previous));
        }
        previous = first;
    }
}

int64_t TokenDataset::sequence_begin(int64_t sequence) const {
    if (sequence == sequences_) return tokens_;
    return load<int64_t>(idx_->text(), kHeaderBytes + 4 * sequences_ + 8 * sequence) / width_;
}

int64_t TokenDataset::first_sequence(int64_t document) const {
    return load<int64_t>(idx_->text(), kHeaderBytes + 12 * sequences_ + 8 * document);
}

TokenDataset::Range TokenDataset::document(int64_t index) const {
    HADAL_ASSERT(index >= 0 && index < documents_);
    return {sequence_begin(first_sequence(index)), sequence_begin(first_sequence(index + 1))};
}

int64_t TokenDataset::document_of(int64_t position) const {
    int64_t low = 0;
    int64_t high = documents_;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        (sequence_begin(first_sequence(middle)) <= position ? low : high) = middle;
    }
    return low;
}

void TokenDataset::copy(int64_t begin, std::span<int32_t> out) const {
    HADAL_ASSERT(begin >= 0 && begin + int64_t(out.size()) <= tokens_);
    const std::byte* from = bin_->bytes().data() + begin * width_;
    if (width_ == 4) {
        std::memcpy(out.data(), from, out.size_bytes());
        return;
    }
    for (size_t i = 0; i < out.size(); ++i) {
        uint16_t id;
        std::memcpy(&id, from + 2 * i, sizeof id);
        out[i] = id;
    }
}

uint64_t TokenDataset::fingerprint() const {
    const std::string_view bytes = bin_->text();
    constexpr size_t kPieces = 1024, kPiece = 1 << 16;
    uint64_t hash = uint64_t(width_) + bytes.size() * 31 + uint64_t(documents_);
    if (bytes.size() <= kPieces * kPiece) return data::content_hash(bytes, hash);
    // From the first byte to the last; the distance in two parts, so that nothing overflows.
    const size_t room = bytes.size() - kPiece;
    for (size_t i = 0; i < kPieces; ++i) {
        const size_t begin = room / (kPieces - 1) * i + room % (kPieces - 1) * i / (kPieces - 1);
        hash = data::content_hash(bytes.substr(begin, kPiece), hash);
    }
    return hash;
}

uint64_t TokenDataset::content_hash() const {
    uint64_t hash = 0;
    for (int64_t i = 0; i < documents_; ++i) {
        const auto [begin, end] = document(i);
        const auto first = size_t(begin * width_);
        hash = data::content_hash(bin_->text().substr(first, size_t((end - begin) * width_)), hash);
    }
    return hash;
}

TokenDatasetWriter::TokenDatasetWriter(fs::path path, int64_t vocab_size)
    : path_(std::move(path)), vocab_size_(vocab_size), narrow_(vocab_size < kNarrowVocabulary) {
    const fs::path bin = with_extension(path_, ".bin");
    bin_.open(bin, std::ios::binary | std::ios::trunc);
    if (!bin_)
        throw Error(Error::Kind::io,
                    concat("cannot write ", bin.string(), " (is there room on the disk?)"));
}

void TokenDatasetWriter::add_document(std::span<const int32_t> ids) {
    if (ids.size() > size_t(std::numeric_limits<int32_t>::max())) {
        throw Error(Error::Kind::bad_input,
                    concat("a document of ", ids.size(),
                           " tokens is too long for the index: ", path_.string(), " (split it)"));
    }
    bytes_.clear();
    for (const int32_t id : ids) {
        if (id < 0 || id >= vocab_size_) {
            throw Error(Error::Kind::internal,
                        concat("token id ", id, " is outside the vocabulary of ", vocab_size_,
                               ": document ", lengths_.size(), " of ", path_.string()));
        }
        narrow_ ? append(bytes_, uint16_t(id)) : append(bytes_, id);
    }
    bin_.write(bytes_.data(), std::streamsize(bytes_.size()));
    hash_ = content_hash(bytes_, hash_);
    lengths_.push_back(int32_t(ids.size()));
    tokens_ += int64_t(ids.size());
}

void TokenDatasetWriter::finish() {
    bin_.close();
    if (!bin_)
        throw Error(Error::Kind::io,
                    concat("cannot write ", path_.string(), ".bin (is there room on the disk?)"));
    std::string index(kMagic);
    append(index, uint64_t(1));
    append(index, narrow_ ? kUint16 : kInt32);
    append(index, uint64_t(lengths_.size()));
    append(index, uint64_t(lengths_.size() + 1));
    for (const int32_t length : lengths_) append(index, length);
    int64_t offset = 0;
    for (const int32_t length : lengths_) {
        append(index, offset);
        offset += int64_t(length) * (narrow_ ? 2 : 4);
    }
    for (size_t i = 0; i <= lengths_.size(); ++i) append(index, int64_t(i));
    write_file_atomically(with_extension(path_, ".idx"), index);
}

}  // namespace hadal::data
