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

constexpr std::string_view kInt4Packed = "_packed", kInt4Scale = "_scale", kInt4Shape = "_shape";

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
    if (int4_shape(name)) {
        require_readable(directory_, name, "in INT4", dtype);
        const formats::Int4Matrix matrix = load_int4(name);
        Tensor result = Tensor::uninitialized(matrix.shape(), dtype);
        formats::dequantize_int4(matrix, result);
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

std::optional<Shape> HuggingFace::int4_shape(std::string_view name) const {
    const TensorInfo* packed = find(concat(name, kInt4Packed));
    if (packed == nullptr) return std::nullopt;
    const auto refuse = [&](std::string_view suffix, const std::string& problem) {
        corrupt(path_of(*packed), concat("tensor ", printable(concat(name, suffix)), problem,
                                         " (a weight in INT4 has _packed, _scale and _shape)"));
    };
    const auto part = [&](std::string_view suffix) {
        const TensorInfo* info = find(concat(name, suffix));
        if (info == nullptr) refuse(suffix, " is missing");
        return info;
    };
    const Shape& words = packed->shape;
    if (packed->dtype != DType::i32 || words.rank() != 2 ||
        words[1] % formats::kInt4WordsPerGroup != 0 || words[1] > INT64_MAX / 8) {
        refuse(kInt4Packed, concat(" is ", words.text(), " ", hadal::name(packed->dtype),
                                   ", not rows of whole groups of 32 codes in i32"));
    }
    const Shape shape{words[0], words[1] * formats::kInt4PerWord};
    const TensorInfo* scale = part(kInt4Scale);
    if (scale->dtype != DType::bf16 ||
        scale->shape != Shape{shape[0], shape[1] / formats::kInt4Group}) {
        refuse(kInt4Scale, concat(" is ", scale->shape.text(), " ", hadal::name(scale->dtype),
                                  ", which is not a scale in bf16 for each 32 of ", shape.text()));
    }
    const TensorInfo* sizes = part(kInt4Shape);
    if (sizes->dtype != DType::i64 || sizes->shape != Shape{2}) {
        refuse(kInt4Shape, concat(" is ", sizes->shape.text(), " ", hadal::name(sizes->dtype),
                                  ", not two sizes in i64"));
    }
    return shape;
}

formats::Int4Matrix HuggingFace::load_int4(std::string_view name) const {
    const auto shape = int4_shape(name);
    if (!shape) corrupt(directory_, concat("tensor ", printable(name), " is not stored in INT4"));
    const Tensor sizes = load(concat(name, kInt4Shape));
    const std::span<const int64_t> said = sizes.values<int64_t>();
    if (said[0] != (*shape)[0] || said[1] != (*shape)[1]) {
        corrupt(directory_,
                concat("tensor ", printable(concat(name, kInt4Shape)), " says [", said[0], ", ",
                       said[1], "], but the codes are of a weight ", shape->text()));
    }
    return {.packed = load(concat(name, kInt4Packed)), .scale = load(concat(name, kInt4Scale))};
}

std::string_view HuggingFace::int4_weight_of(std::string_view tensor) const {
    for (const std::string_view suffix : {kInt4Packed, kInt4Scale, kInt4Shape}) {
        if (!tensor.ends_with(suffix)) continue;
        const std::string_view name = tensor.substr(0, tensor.size() - suffix.size());
        if (contains(concat(name, kInt4Packed))) return name;
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
