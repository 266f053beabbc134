// safetensors files: 8 bytes of header length (little endian), a JSON header that names each tensor
// with its type, shape and place, then the bytes of all tensors without a gap. Knows files, not
// models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_map.h"
#include "core/tensor.h"

namespace hadal::checkpoint {

/// What a header says of one tensor.
struct TensorInfo {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    int64_t offset = 0;  // of its first byte, from the start of the file
    int32_t file = 0;    // which of the model's files holds it

    int64_t bytes() const {
        return shape.count() * size_of(dtype);
    }
};

/// Free text of the header's "__metadata__".
using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
    std::vector<TensorInfo> tensors;  // in the order of their bytes
    std::vector<int32_t> by_name;     // indices of `tensors`, sorted by name
    Metadata metadata;
};

/// Reads and checks the header of a whole file's bytes; touches no tensor. Error(corrupt_file)
/// where the file contradicts itself, Error(unsupported) for a type or rank that this build does
/// not hold; both name `where`.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view where);

/// "F32", "BF16", …: the format's own spelling.
std::string_view safetensors_name(DType dtype);

/// An open file. Copies share the mapping.
class Safetensors {
  public:
    static Safetensors open(const std::filesystem::path& path);

    /// In the order of their bytes.
    std::span<const TensorInfo> tensors() const {
        return header_.tensors;
    }
    const Metadata& metadata() const {
        return header_.metadata;
    }
    const std::filesystem::path& path() const {
        return map_->path();
    }
    int64_t file_bytes() const {
        return int64_t(map_->bytes().size());
    }

    /// nullptr if there is no such tensor.
    const TensorInfo* find(std::string_view name) const;
    /// The tensor of this name; Error(corrupt_file) names what is missing and where.
    Tensor load(std::string_view name) const;
    /// A read-only view of the mapped file (writing to it is a fault), or a copy where the file did
    /// not align the elements. `info` is one of tensors(). The view keeps the mapping alive.
    Tensor load(const TensorInfo& info) const;

  private:
    Safetensors() = default;

    std::shared_ptr<const FileMap> map_;
    SafetensorsHeader header_;
};

}  // namespace hadal::checkpoint
