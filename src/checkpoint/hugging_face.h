// A model directory in Hugging Face layout: config.json and model.safetensors, or several files
// with an index that says which tensor is where. Opening reads headers only. Knows files, names,
// types and shapes; what they mean is src/model's business. Const members may be called from
// several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "checkpoint/safetensors.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"
#include "formats/scale_tile.h"

namespace hadal::checkpoint {

/// A weight of integers in groups of 32 under one scale.
struct PackedWeight {
    int bits;  // 4 (formats/int4_group.h) or 8 (formats/int8_group.h)
    Shape shape;
};

class HuggingFace {
  public:
    /// Error(bad_input) if `directory` is no model directory, Error(corrupt_file) if index and
    /// files disagree, naming the tensor or file.
    static HuggingFace open(const std::filesystem::path& directory);

    HuggingFace(HuggingFace&&) = default;
    HuggingFace& operator=(HuggingFace&&) = default;

    const std::filesystem::path& directory() const {
        return directory_;
    }
    /// The text of config.json, unread.
    const std::string& config_text() const {
        return config_text_;
    }
    /// In the order of their bytes, file by file: reading them in this order reads the disk in one
    /// direction.
    std::span<const TensorInfo> tensors() const {
        return tensors_;
    }
    bool contains(std::string_view name) const {
        return find(name) != nullptr;
    }
    /// nullptr if there is no such tensor.
    const TensorInfo* find(std::string_view name) const;
    /// The file that holds `info`, one of tensors().
    const std::filesystem::path& path_of(const TensorInfo& info) const {
        return files_[size_t(info.file)].path();
    }

    /// As stored: a read-only view of the mapped file. Error(corrupt_file) names a tensor that is
    /// missing.
    Tensor load(std::string_view name) const;
    /// As `dtype`, f32, bf16, f16 or f64: the view if it is stored so, else a rounded copy. An
    /// f8_e4m3 weight is multiplied by its `<name>_scale_inv`, which may be in another file, and
    /// one in INT4 or INT8 is unpacked (all of them f32 and bf16 only).
    Tensor load(std::string_view name, DType dtype) const;
    /// A block-FP8 weight as stored: views of its codes and of `<name>_scale_inv`, a byte for each
    /// weight. Error(corrupt_file) if the scales are missing or do not fit.
    formats::TiledMatrix load_tiles(std::string_view name) const;

    /// Where a weight is stored in INT4 or INT8, which takes three tensors, `<name>_packed`,
    /// `_scale` and `_shape`: its bits and its own shape, by headers alone. Nothing where
    /// `<name>_packed` is not there. Error(corrupt_file) names what is missing or does not fit in
    /// groups of 32.
    std::optional<PackedWeight> packed_weight(std::string_view name) const;
    /// Views of the codes and scales of such a weight. Error(corrupt_file) if it has other bits.
    formats::Int4Matrix load_int4(std::string_view name) const;
    formats::Int8Matrix load_int8(std::string_view name) const;
    /// The weight that a tensor is a part of in INT4 or INT8: `x` of `x_packed`, `x_scale` and
    /// `x_shape`. Empty if it is none.
    std::string_view packed_weight_of(std::string_view tensor) const;

    int64_t num_files() const {
        return int64_t(files_.size());
    }
    /// Of all tensors, without the headers.
    int64_t tensor_bytes() const;
    int64_t file_bytes() const;

  private:
    HuggingFace() = default;
    void index_tensors();
    /// That a weight is stored in so many bits, and `<name>_shape` says what its codes say.
    void check_packed(std::string_view name, int bits) const;

    std::filesystem::path directory_;
    std::string config_text_;
    std::vector<Safetensors> files_;
    std::vector<TensorInfo> tensors_;
    std::unordered_map<std::string_view, const TensorInfo*>
        by_name_;  // into tensors_: not copyable
};

}  // namespace hadal::checkpoint
