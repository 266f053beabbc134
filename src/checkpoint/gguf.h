// GGUF files, version 2 and 3: a header of counts, keys with typed values, a table of tensors, then
// their bytes, aligned. Read-only and memory-mapped; a model split over several files opens as one.
// Knows the container, not what keys and tensors mean (model/gguf_model.h does).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/file_map.h"
#include "core/tensor.h"
#include "formats/ggml_blocks.h"

namespace hadal::checkpoint {

/// A list as it lies in the file, checked: every element is inside.
struct GgufArray {
    uint32_t type = 0;  // of the elements: the format's number
    int64_t count = 0;
    std::string_view bytes;  // from the first element to the last
};

/// Integers of any width, and both widths of floating point, are held as one kind each. The double
/// of a float32 is the shortest decimal that gives that float32 (0.1, not 0.10000000149): what the
/// writer of the file had in mind.
using GgufValue = std::variant<bool, int64_t, double, std::string_view, GgufArray>;

struct GgufTensor {
    std::string_view name;
    formats::GgmlType type = formats::GgmlType::f32;
    Shape shape;         // slowest dimension first, as everywhere here (files: fastest first)
    int64_t offset = 0;  // of its first byte, from the start of its file
    int64_t bytes = 0;
    int32_t file = 0;  // which of the model's files holds it
};

/// Views point into the bytes that were parsed.
struct GgufHeader {
    std::map<std::string_view, GgufValue> values;
    std::vector<GgufTensor> tensors;  // in the order of the table
};

/// Reads and checks everything but the tensors' bytes. Error(corrupt_file) where the file
/// contradicts itself, Error(unsupported) for a version, byte order or type that this build does
/// not read; both name `where`.
GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view where);

class Gguf {
  public:
    /// `path`: a file, or any part of a model in parts (NAME-00001-of-00003.gguf): the others are
    /// looked for beside it. Errors as parse_gguf; Error(bad_input) for a part that is missing.
    static Gguf open(const std::filesystem::path& path);

    const std::filesystem::path& path() const {
        return files_.front()->path();
    }
    std::span<const GgufTensor> tensors() const {
        return tensors_;
    }
    /// nullptr if there is no such tensor.
    const GgufTensor* find(std::string_view name) const;
    /// `tensor` is one of tensors(). Valid as long as this.
    std::span<const std::byte> bytes(const GgufTensor& tensor) const {
        return files_[size_t(tensor.file)]->bytes().subspan(size_t(tensor.offset),
                                                            size_t(tensor.bytes));
    }
    /// The same bytes as a tensor, which keeps the file mapped; of a tensor of three dimensions
    /// matrix `part`, or all for −1. Its type must be F32 or BF16.
    Tensor view(const GgufTensor& tensor, int64_t part = -1) const;

    // The value of a key, nothing if it is absent; Error(corrupt_file) if it is of another kind.
    // Views are valid as long as this.
    std::optional<bool> truth(std::string_view key) const;
    std::optional<int64_t> integer(std::string_view key) const;
    std::optional<double> number(std::string_view key) const;
    std::optional<std::string_view> text(std::string_view key) const;
    std::optional<std::vector<int64_t>> integers(std::string_view key) const;
    std::optional<std::vector<std::string_view>> texts(std::string_view key) const;

  private:
    Gguf() = default;
    void add_file(const std::filesystem::path& path);
    template <class T>
    const T* value(std::string_view key, std::string_view wanted) const;

    std::vector<std::shared_ptr<const FileMap>> files_;
    std::map<std::string_view, GgufValue> values_;  // of the first file
    std::vector<GgufTensor> tensors_;
    std::map<std::string_view, size_t> by_name_;
};

}  // namespace hadal::checkpoint
