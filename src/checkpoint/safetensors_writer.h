// Writes one safetensors file, tensor by tensor: never more than one of them in memory.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/output_file.h"
#include "checkpoint/safetensors.h"

namespace hadal::checkpoint {

/// What a tensor to be written will be.
struct TensorSpec {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;

    int64_t bytes() const {
        return shape.count() * size_of(dtype);
    }
};

class SafetensorsWriter {
  public:
    /// Writes the header of exactly these tensors to a temporary file beside `path`. The file's
    /// bytes depend on the set of tensors only, not on the order here or of add(): wider types
    /// first, so that all are aligned, then by name. Error(internal) for a name given twice.
    SafetensorsWriter(std::filesystem::path path, std::span<const TensorSpec> tensors,
                      const Metadata& metadata = {{"format", "pt"}});

    /// Writes one of the declared tensors; rows may be strided. Error(internal) if it is not
    /// declared so, Error(io) if the disk refuses.
    void add(std::string_view name, const Tensor& tensor);
    /// Makes the file durable under its name. Error(internal) if a declared tensor was not added.
    /// Without this call nothing remains.
    void finish();

    int64_t file_bytes() const {
        return file_bytes_;
    }
    /// The file's beginning: the header's length and the header.
    const std::string& header() const {
        return header_;
    }

  private:
    struct Place {
        TensorSpec spec;
        int64_t offset = 0;
        bool written = false;
    };

    std::filesystem::path path_;
    OutputFile file_;
    std::string header_;
    std::map<std::string, Place, std::less<>> places_;
    int64_t file_bytes_ = 0;
};

}  // namespace hadal::checkpoint
