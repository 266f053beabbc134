#include "checkpoint/hugging_face.h"

#include <algorithm>
#include <set>
#include <utility>

#include "checkpoint/convert.h"
#include "checkpoint/printable.h"
#include "checkpoint/shard_index.h"

namespace hadal::checkpoint {

namespace {

[[noreturn]] void corrupt(const std::filesystem::path& where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where.string()));
}

/// A shard that is absent is the commonest fault: say which, and how many.
void check_files_exist(const std::filesystem::path& directory, const std::set<std::string>& names) {
    std::string first;
    int64_t missing = 0;
    for (const std::string& name : names) {
        if (std::filesystem::is_regular_file(directory / name)) continue;
        if (++missing == 1) first = name;
    }
    if (missing > 0) {
        corrupt(directory, concat("file ", printable(first), " of the model is missing, ", missing,
                                  " of ", names.size(), " in all (fetch what is missing)"));
    }
}

void check_against_index(const Safetensors& file, const std::string& file_name,
                         const WeightMap& weight_map) {
    for (const TensorInfo& tensor : file.tensors()) {
        const auto place = weight_map.find(tensor.name);
        if (place == weight_map.end() || place->second != file_name) {
            corrupt(file.path(),
                    concat("tensor ", printable(tensor.name), " is here, but the index ",
                           place == weight_map.end()
                               ? "does not know it"
                               : concat("places it in ", printable(place->second))));
        }
    }
}

/// The index named every tensor that the files have; there must be no more.
void check_counts(const std::vector<Safetensors>& files, const std::set<std::string>& names,
                  const WeightMap& weight_map) {
    size_t held = 0;
    for (const Safetensors& file : files) held += file.tensors().size();
    if (held == weight_map.size()) return;
    for (const auto& [tensor, file_name] : weight_map) {
        const auto index = size_t(std::distance(names.begin(), names.find(file_name)));
        if (files[index].find(tensor) == nullptr) {
            corrupt(files[index].path(),
                    concat("tensor ", printable(tensor), " is missing, the index places it here"));
        }
    }
}

std::vector<Safetensors> open_shards(const std::filesystem::path& directory) {
    const auto index_path = directory / kIndexFile;
    const WeightMap weight_map =
        parse_shard_index(FileMap::open(index_path)->text(), index_path.string());
    std::set<std::string> names;
    for (const auto& [tensor, file_name] : weight_map) names.insert(file_name);
    check_files_exist(directory, names);
    std::vector<Safetensors> files;
    for (const std::string& name : names) {
        files.push_back(Safetensors::open(directory / name));
        check_against_index(files.back(), name, weight_map);
    }
    check_counts(files, names, weight_map);
    return files;
}

/// Scaled weights are multiplied out in float32 and rounded once: what that gives the types that
/// models compute in.
void require_readable(const std::filesystem::path& directory, std::string_view name,
                      std::string_view stored, DType dtype) {
    if (dtype == DType::f32 || dtype == DType::bf16) return;
    throw Error(Error::Kind::unsupported,
                concat("tensor ", printable(name), " is ", stored, " and cannot be read as ",
                       hadal::name(dtype), ", only as f32 or bf16: ", directory.string()));
}

constexpr std::string_view kPacked = "_packed", kPackedScale = "_scale", kPackedShape = "_shape";

constexpr int64_t kPackedGroup = 32;  // weights under one scale, in INT4 as in INT8
static_assert(formats::kInt4Group == kPackedGroup && formats::kInt8Group == kPackedGroup);

}  // namespace

HuggingFace HuggingFace::open(const std::filesystem::path& directory) {
    const auto refuse = [&](std::string_view reason) {
        throw Error(Error::Kind::bad_input,
                    concat(reason, ": ", directory.string(),
                           " (a model is a directory with config.json and "
                           "model.safetensors, as Hugging Face lays it out)"));
    };
    std::error_code ignored;
    if (!std::filesystem::is_directory(directory, ignored)) refuse("no such model directory");
    if (!std::filesystem::is_regular_file(directory / "config.json", ignored)) {
        refuse("no config.json in the model directory");
    }
    HuggingFace model;
    model.directory_ = directory;
    model.config_text_ = read_file(directory / "config.json");
    if (std::filesystem::exists(directory / kIndexFile, ignored)) {
        model.files_ = open_shards(directory);
    } else if (std::filesystem::exists(directory / kSingleFile, ignored)) {
        model.files_.push_back(Safetensors::open(directory / kSingleFile));
    } else {
        refuse(concat("neither ", kSingleFile, " nor ", kIndexFile, " in the model directory"));
    }
    model.index_tensors();
    return model;
}

void HuggingFace::index_tensors() {
    for (size_t i = 0; i < files_.size(); ++i) {
        const auto tensors = files_[i].tensors();
        tensors_.insert(tensors_.end(), tensors.begin(), tensors.end());
        for (auto t = tensors_.end() - std::ptrdiff_t(tensors.size()); t != tensors_.end(); ++t) {
            t->file = int32_t(i);
        }
    }
    by_name_.reserve(tensors_.size());
    for (const TensorInfo& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
}

const TensorInfo* HuggingFace::find(std::string_view name) const {
    const auto place = by_name_.find(name);
    return place == by_name_.end() ? nullptr : place->second;
}

Tensor HuggingFace::load(std::string_view name) const {
    const TensorInfo* info = find(name);
    if (info == nullptr) corrupt(directory_, concat("tensor ", printable(name), " is missing"));
    return files_[size_t(info->file)].load(*info);
}

Tensor HuggingFace::load(std::string_view name, DType dtype) const {
    if (const auto packed = packed_weight(name)) {
        require_readable(directory_, name, packed->bits == 4 ? "in INT4" : "in INT8", dtype);
        Tensor result = Tensor::uninitialized(packed->shape, dtype);
        if (packed->bits == 4) {
            formats::dequantize_int4(load_int4(name), result);
        } else {
            formats::dequantize_int8(load_int8(name), result);
        }
        return result;
    }
    const Tensor stored = load(name);
    if (stored.dtype() != DType::f8_e4m3 || dtype == DType::f8_e4m3) {
        try {
            return converted(stored, dtype);
        } catch (const Error& error) {
            throw Error(error.kind(), concat("tensor ", printable(name), ": ", error.what(), ": ",
                                             directory_.string()));
        }
    }
    require_readable(directory_, name, "block-scaled float8", dtype);
    const formats::TiledMatrix tiles = load_tiles(name);
    Tensor result = Tensor::uninitialized(stored.shape(), dtype);
    formats::dequantize_blocks(tiles.codes, tiles.scale, result);
    return result;
}

formats::TiledMatrix HuggingFace::load_tiles(std::string_view name) const {
    const Tensor codes = load(name);
    const std::string scale_name = concat(name, "_scale_inv");
    const Tensor scale = load(scale_name);
    const Shape& shape = codes.shape();
    if (shape.rank() != 2 || scale.dtype() != DType::f32 ||
        scale.shape() != formats::scale_shape(shape)) {
        corrupt(directory_, concat("tensor ", printable(scale_name), " is ", scale.shape().text(),
                                   " ", hadal::name(scale.dtype()),
                                   ", which are not the 128x128 block scales in f32 of a weight ",
                                   shape.text()));
    }
    return {.codes = codes, .scale = scale, .tiling = formats::kBlockTiles};
}

std::optional<PackedWeight> HuggingFace::packed_weight(std::string_view name) const {
    const TensorInfo* packed = find(concat(name, kPacked));
    if (packed == nullptr) return std::nullopt;
    const auto refuse = [&](std::string_view suffix, const std::string& problem) {
        corrupt(path_of(*packed),
                concat("tensor ", printable(concat(name, suffix)), problem,
                       " (a weight in INT4 or INT8 has _packed, _scale and _shape)"));
    };
    const auto part = [&](std::string_view suffix) {
        const TensorInfo* info = find(concat(name, suffix));
        if (info == nullptr) refuse(suffix, " is missing");
        return info;
    };
    const TensorInfo* scale = part(kPackedScale);
    const TensorInfo* sizes = part(kPackedShape);
    const Shape &words = packed->shape, &groups = scale->shape;
    if (scale->dtype != DType::bf16 || groups.rank() != 2 || groups[1] > INT64_MAX / kPackedGroup) {
        refuse(kPackedScale, concat(" is ", groups.text(), " ", hadal::name(scale->dtype),
                                    ", not a scale in bf16 for each 32 of a row's weights"));
    }
    const Shape shape{groups[0], groups[1] * kPackedGroup};
    // The bits follow from how many words a group takes.
    const bool is_int4 = words.rank() == 2 && words[1] == groups[1] * formats::kInt4WordsPerGroup;
    const bool is_int8 = words.rank() == 2 && words[1] == groups[1] * formats::kInt8WordsPerGroup;
    if (packed->dtype != DType::i32 || (!is_int4 && !is_int8) || words[0] != groups[0]) {
        refuse(kPacked,
               concat(" is ", words.text(), " ", hadal::name(packed->dtype),
                      ", which is neither INT4 nor INT8 of ", shape.text(), " packed in i32"));
    }
    if (sizes->dtype != DType::i64 || sizes->shape != Shape{2}) {
        refuse(kPackedShape, concat(" is ", sizes->shape.text(), " ", hadal::name(sizes->dtype),
                                    ", not two sizes in i64"));
    }
    return PackedWeight{.bits = is_int4 ? 4 : 8, .shape = shape};
}

void HuggingFace::check_packed(std::string_view name, int bits) const {
    const auto packed = packed_weight(name);
    if (!packed || packed->bits != bits)
        corrupt(directory_, concat("tensor ", printable(name), " is not stored in INT", bits));
    const Tensor sizes = load(concat(name, kPackedShape));
    const std::span<const int64_t> said = sizes.values<int64_t>();
    if (said[0] != packed->shape[0] || said[1] != packed->shape[1]) {
        corrupt(directory_,
                concat("tensor ", printable(concat(name, kPackedShape)), " says [", said[0], ", ",
                       said[1], "], but the codes are of a weight ", packed->shape.text()));
    }
}

formats::Int4Matrix HuggingFace::load_int4(std::string_view name) const {
    check_packed(name, 4);
    return {.packed = load(concat(name, kPacked)), .scale = load(concat(name, kPackedScale))};
}

formats::Int8Matrix HuggingFace::load_int8(std::string_view name) const {
    check_packed(name, 8);
    return {.packed = load(concat(name, kPacked)), .scale = load(concat(name, kPackedScale))};
}

std::string_view HuggingFace::packed_weight_of(std::string_view tensor) const {
    for (const std::string_view suffix : {kPacked, kPackedScale, kPackedShape}) {
        if (!tensor.ends_with(suffix)) continue;
        const std::string_view name = tensor.substr(0, tensor.size() - suffix.size());
        if (contains(concat(name, kPacked))) return name;
    }
    return {};
}

int64_t HuggingFace::tensor_bytes() const {
    int64_t bytes = 0;
    for (const TensorInfo& tensor : tensors_) bytes += tensor.bytes();
    return bytes;
}

int64_t HuggingFace::file_bytes() const {
    int64_t bytes = 0;
    for (const Safetensors& file : files_) bytes += file.file_bytes();
    return bytes;
}

}  // namespace hadal::checkpoint
