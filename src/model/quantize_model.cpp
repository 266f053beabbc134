#include "model/quantize_model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/hugging_face_writer.h"
#include "checkpoint/non_finite.h"
#include "core/file_map.h"
#include "formats/bfloat16.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"
#include "model/compressed_tensors.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "model/parameters.h"
#include "ops/convert.h"
#include "ops/quantize.h"

namespace hadal::model {

namespace {

using checkpoint::TensorInfo;

constexpr std::string_view kScaleSuffix = "_scale_inv";

/// How a tensor is written.
enum class Form { as_it_is, f32, bf16, block_fp8, int4, int8 };
using Forms = std::map<std::string, Form, std::less<>>;

WeightBits bits_of(Storage to) {
    switch (to) {
        case Storage::int4_experts:
            return {.experts = 4};
        case Storage::int4_int8:
            return {.experts = 4, .rest = 8, .head = 8};
        case Storage::int4:
            return {.experts = 4, .rest = 4, .head = 8};
        case Storage::int8:
            return {.experts = 8, .rest = 8, .head = 8};
        case Storage::block_fp8:
        case Storage::bf16:
            break;
    }
    return {};
}

bool is_packed(Form form) {
    return form == Form::int4 || form == Form::int8;
}

/// What compressed_tensors_config says of a parameter, shape aside.
int bits_of(const Parameter& parameter, const WeightBits& bits) {
    if (parameter.role == Role::expert) return bits.experts;
    if (parameter.role == Role::head) return bits.head;
    const bool is_map = is_quantised(parameter) && !parameter.name.ends_with("kv_b_proj.weight");
    return is_map ? bits.rest : 16;
}

/// The same with its shape: what is no whole groups stays in bf16, but an expert is refused.
int fitting_bits(const Parameter& parameter, const WeightBits& wanted) {
    const int bits = bits_of(parameter, wanted);
    if (bits == 16 || formats::fits_int4(parameter.shape)) return bits;
    if (parameter.role != Role::expert) return 16;
    throw Error(Error::Kind::unsupported,
                concat("tensor '", parameter.name, "' is ", parameter.shape.text(), ", INT", bits,
                       " takes rows of whole groups of ", formats::kInt4Group,
                       " (--to fp8 takes any shape)"));
}

Form form_of(const Parameter& parameter, Storage to) {
    if (to == Storage::block_fp8 && is_quantised(parameter)) return Form::block_fp8;
    const int bits = fitting_bits(parameter, bits_of(to));
    if (bits < 16) return bits == 4 ? Form::int4 : Form::int8;
    return parameter_dtype(parameter, DType::bf16) == DType::f32 ? Form::f32 : Form::bf16;
}

/// Layers that `to` would pack if their rows were whole groups.
std::vector<std::string> unfit_layers(const ModelConfig& config, Storage to) {
    Weights none;
    std::vector<std::string> layers;
    for (const Parameter& parameter : parameters(config, none)) {
        if (bits_of(parameter, bits_of(to)) == fitting_bits(parameter, bits_of(to))) continue;
        layers.push_back(parameter.name.substr(0, parameter.name.rfind('.')));  // less ".weight"
    }
    return layers;
}

/// How the new files hold the known tensors, by name: parameters, and the copies of embedding and
/// head that MTP modules repeat.
Forms wanted_forms(const ModelConfig& config, Storage to) {
    Weights none;
    Forms wanted;
    checkpoint_tensors(config, none,
                       [&](const std::string& name, const Tensor&) { wanted[name] = Form::bf16; });
    for (const Parameter& parameter : parameters(config, none))
        wanted[parameter.name] = form_of(parameter, to);
    return wanted;
}

/// Whether every weight that would be packed is so already, and no other is.
bool is_stored_so(const checkpoint::HuggingFace& files, const Forms& wanted) {
    return std::ranges::all_of(wanted, [&](const auto& line) {
        const auto packed = files.packed_weight(line.first);
        if (!packed) return !is_packed(line.second);
        return line.second == (packed->bits == 4 ? Form::int4 : Form::int8);
    });
}

/// The tensors that make up `name`, in the order in which they are written.
std::vector<checkpoint::TensorSpec> specs_of(const std::string& name, const Shape& shape, Form form,
                                             DType as_it_is) {
    const auto packed = [&](int64_t codes_per_word) -> std::vector<checkpoint::TensorSpec> {
        return {{concat(name, "_packed"), DType::i32, {shape[0], shape[1] / codes_per_word}},
                {concat(name, "_scale"), DType::bf16, {shape[0], shape[1] / formats::kInt4Group}},
                {concat(name, "_shape"), DType::i64, {2}}};
    };
    switch (form) {
        case Form::as_it_is:
            return {{name, as_it_is, shape}};
        case Form::f32:
            return {{name, DType::f32, shape}};
        case Form::bf16:
            return {{name, DType::bf16, shape}};
        case Form::block_fp8:
            return {{name, DType::f8_e4m3, shape},
                    {concat(name, kScaleSuffix), DType::f32, formats::scale_shape(shape)}};
        case Form::int4:
            return packed(formats::kInt4PerWord);
        case Form::int8:
            return packed(formats::kInt8PerWord);
    }
    return {};
}

/// quantise(rows) for a matrix cut into pieces, on all threads.
template <class Quantise>
void for_row_blocks(Context& context, int64_t rows, const Quantise& quantise) {
    constexpr int64_t kRows = 64;
    context.threads.parallel_for((rows + kRows - 1) / kRows, [&](int64_t part) {
        const int64_t begin = part * kRows;
        quantise(begin, std::min(kRows, rows - begin));
    });
}

formats::Int4Matrix int4_of(Context& context, const Tensor& w, std::span<const float> importance) {
    auto q = formats::Int4Matrix::uninitialized(w.shape());
    for_row_blocks(context, w.shape()[0], [&](int64_t begin, int64_t count) {
        formats::Int4Matrix some = q.rows(begin, count);
        formats::quantize_int4(w.rows(begin, count), importance, some);
    });
    return q;
}

formats::Int8Matrix int8_of(Context& context, const Tensor& w) {
    auto q = formats::Int8Matrix::uninitialized(w.shape());
    for_row_blocks(context, w.shape()[0], [&](int64_t begin, int64_t count) {
        formats::Int8Matrix some = q.rows(begin, count);
        formats::quantize_int8(w.rows(begin, count), some);
    });
    return q;
}

/// Files beside weights and config.json: tokenizer, generation settings, code.
bool is_companion(const std::filesystem::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    return entry.is_regular_file() && name != "config.json" && !name.ends_with(".safetensors") &&
           !name.ends_with(".safetensors.index.json");
}

/// The source's config.json with the keys that say how weights are stored.
std::string stored_as(const std::string& source, const ModelConfig& config, Storage to) {
    using Json = nlohmann::ordered_json;
    auto object = Json::parse(source);
    object.erase("quantization_config");
    if (to == Storage::block_fp8) {
        ModelConfig stored = config;
        stored.block_fp8 = true;
        object["quantization_config"] = Json::parse(config_text(stored))["quantization_config"];
    } else if (to != Storage::bf16) {
        object["quantization_config"] =
            compressed_tensors_config(bits_of(to), unfit_layers(config, to));
    }
    object[object.contains("dtype") ? "dtype" : "torch_dtype"] = "bfloat16";
    return object.dump(2) + "\n";
}

float as_float(float x) {
    return x;
}
float as_float(bf16 x) {
    return to_float(x);
}

template <class X, class Y>
double largest_difference(Context& context, std::span<const X> x, std::span<const Y> y) {
    constexpr int64_t kRun = 1 << 16;
    const auto count = int64_t(x.size());
    std::vector<float> largest(size_t((count + kRun - 1) / kRun));
    context.threads.parallel_for(int64_t(largest.size()), [&](int64_t run) {
        float found = 0;
        for (int64_t i = run * kRun; i < std::min(count, (run + 1) * kRun); ++i)
            found = std::max(found, std::abs(as_float(x[size_t(i)]) - as_float(y[size_t(i)])));
        largest[size_t(run)] = found;
    });
    return largest.empty() ? 0 : double(std::ranges::max(largest));
}

void refuse_without_experts(const ModelConfig& config, const std::filesystem::path& source,
                            Storage to) {
    const bool for_experts = to == Storage::int4_experts || to == Storage::int4_int8;
    if (config.n_routed_experts > 0 || !for_experts) return;
    throw Error(Error::Kind::unsupported,
                concat("INT4 is for routed experts, and the model has none: ", source.string(),
                       " (--to int8 and --to fp8 take every linear layer)"));
}

void refuse_stored_so(const checkpoint::HuggingFace& files, const ModelConfig& config,
                      const Forms& wanted, Storage to) {
    if (to == Storage::bf16) return;
    const bool fp8 = to == Storage::block_fp8;
    const bool already =
        fp8 ? config.block_fp8 : config.packed_weights && is_stored_so(files, wanted);
    if (!already) return;
    throw Error(
        Error::Kind::usage,
        concat("the weights are in ", fp8 ? "block-FP8" : (to == Storage::int8 ? "INT8" : "INT4"),
               " already: ", files.directory().string()));
}

/// A tensor of the source.
struct Line {
    std::string name;
    Shape shape;
    DType from;       // bf16, or what is read as f32
    int packed_bits;  // in which the source holds it; 16: it is not packed
    Form to;          // as it is: unknown to the configuration
};

bool is_scale(const checkpoint::HuggingFace& files, std::string_view name) {
    if (!name.ends_with(kScaleSuffix)) return false;
    const TensorInfo* weight = files.find(name.substr(0, name.size() - kScaleSuffix.size()));
    return weight != nullptr && weight->dtype == DType::f8_e4m3;
}

std::vector<Line> lines_of(const checkpoint::HuggingFace& files, const Forms& wanted) {
    std::vector<Line> lines;
    for (const TensorInfo& info : files.tensors()) {
        if (is_scale(files, info.name)) continue;
        std::string_view packed = files.packed_weight_of(info.name);
        if (!wanted.contains(packed)) packed = {};
        if (!packed.empty() && !info.name.ends_with("_packed")) continue;
        const std::string name(packed.empty() ? std::string_view(info.name) : packed);
        const auto stored = files.packed_weight(packed);
        const auto found = wanted.find(name);
        lines.push_back({.name = name,
                         .shape = stored ? stored->shape : info.shape,
                         .from = stored ? DType::f32 : info.dtype,
                         .packed_bits = stored ? stored->bits : 16,
                         .to = found == wanted.end() ? Form::as_it_is : found->second});
    }
    return lines;
}

class Conversion {
  public:
    /// `load` reads a tensor of the source in the type asked for, or, without one, as it is.
    using Load = std::function<Tensor(const std::string& name, std::optional<DType> dtype)>;

    /// `files`: where packed weights lie; null for a source without.
    Conversion(Context& context, const std::filesystem::path& source, std::vector<Line> lines,
               Load load, const checkpoint::HuggingFace* files, const QuantizeOptions& options)
        : context_(context),
          source_(source),
          lines_(std::move(lines)),
          load_(std::move(load)),
          files_(files),
          importance_(options.importance) {
        for (const Line& line : lines_) {
            result_.weights += line.shape.count();
            const auto specs = specs_of(line.name, line.shape, line.to, line.from);
            specs_.insert(specs_.end(), specs.begin(), specs.end());
        }
    }

    std::span<const checkpoint::TensorSpec> specs() const {
        return specs_;
    }

    QuantizeResult run(checkpoint::HuggingFaceWriter& writer, const ProgressCallback& progress) {
        for (size_t i = 0; i < lines_.size(); ++i) {
            write(lines_[i], writer);
            if (progress) progress(int64_t(i) + 1, int64_t(lines_.size()));
        }
        result_.tensors = int64_t(specs_.size());
        for (const auto& spec : specs_) result_.bytes += spec.bytes();
        return result_;
    }

  private:
    /// Of a weight's values, or of its scales where codes are copied.
    void require_finite(const std::string& name, const Tensor& values) const {
        if (checkpoint::count_non_finite(values) == 0) return;
        throw Error(Error::Kind::corrupt_file,
                    concat("tensor '", name, "' holds values that are not finite: ",
                           source_.string(), " (hadal inspect --check lists them)"));
    }

    void write(const Line& line, checkpoint::HuggingFaceWriter& writer) {
        const std::string& name = line.name;
        if (line.to == Form::as_it_is) return writer.add(name, load_(name, {}));
        if (line.to == Form::int4 && line.packed_bits == 4) {
            const formats::Int4Matrix q = files_->load_int4(name);
            require_finite(name, q.scale);
            return add_packed(name, q.packed, q.scale, q.shape(), writer);
        }
        if (line.to == Form::int8 && line.packed_bits == 8) {
            const formats::Int8Matrix q = files_->load_int8(name);
            require_finite(name, q.scale);
            return add_packed(name, q.packed, q.scale, q.shape(), writer);
        }
        // What the stored numbers stand for, exactly: bf16 as it is, anything else as f32.
        const bool as_bf16 = line.from == DType::bf16 && line.to != Form::f32;
        const Tensor source = load_(name, as_bf16 ? DType::bf16 : DType::f32);
        require_finite(name, source);
        if (line.to == (as_bf16 ? Form::bf16 : Form::f32)) return writer.add(name, source);
        const Tensor read_back = write_narrow(line, source, writer);
        result_.max_abs_error = std::max(result_.max_abs_error, difference(source, read_back));
    }

    /// Returns what the written numbers stand for.
    Tensor write_narrow(const Line& line, const Tensor& source,
                        checkpoint::HuggingFaceWriter& writer) {
        const std::string& name = line.name;
        if (line.to == Form::bf16) {
            Tensor rounded = Tensor::uninitialized(source.shape(), DType::bf16);
            ops::convert(context_, source, rounded);
            writer.add(name, rounded);
            return rounded;
        }
        Tensor read_back = Tensor::uninitialized(source.shape(), DType::f32);
        if (line.to == Form::block_fp8) {
            auto q = ops::TiledMatrix::uninitialized(source.shape(), formats::kBlockTiles);
            ops::quantize_tiles(context_, source, q);
            writer.add(name, q.codes);
            writer.add(concat(name, kScaleSuffix), q.scale);
            ops::dequantize_tiles(context_, q, read_back);
            return read_back;
        }
        if (line.to == Form::int8) {
            const formats::Int8Matrix q = int8_of(context_, source);
            add_packed(name, q.packed, q.scale, q.shape(), writer);
            formats::dequantize_int8(q, read_back);
            return read_back;
        }
        const auto important = importance_.find(name);
        const formats::Int4Matrix q =
            int4_of(context_, source,
                    important == importance_.end() ? std::span<const float>() : important->second);
        add_packed(name, q.packed, q.scale, q.shape(), writer);
        formats::dequantize_int4(q, read_back);
        return read_back;
    }

    static void add_packed(const std::string& name, const Tensor& packed, const Tensor& scale,
                           const Shape& shape, checkpoint::HuggingFaceWriter& writer) {
        Tensor sizes = Tensor::uninitialized({2}, DType::i64);
        sizes.values<int64_t>()[0] = shape[0];
        sizes.values<int64_t>()[1] = shape[1];
        writer.add(concat(name, "_packed"), packed);
        writer.add(concat(name, "_scale"), scale);
        writer.add(concat(name, "_shape"), sizes);
    }

    double difference(const Tensor& x, const Tensor& y) const {
        if (y.dtype() == DType::bf16)
            return largest_difference(context_, x.values<float>(), y.values<bf16>());
        if (x.dtype() == DType::bf16)
            return largest_difference(context_, x.values<bf16>(), y.values<float>());
        return largest_difference(context_, x.values<float>(), y.values<float>());
    }

    Context& context_;
    std::filesystem::path source_;
    std::vector<Line> lines_;
    Load load_;
    const checkpoint::HuggingFace* files_;
    const ColumnImportance& importance_;
    std::vector<checkpoint::TensorSpec> specs_;
    QuantizeResult result_;
};

}  // namespace

QuantizeResult quantize_model(Context& context, const std::filesystem::path& source,
                              const std::filesystem::path& directory,
                              const QuantizeOptions& options) {
    const auto files = checkpoint::HuggingFace::open(source);
    const ModelConfig config = stored_config(files);
    refuse_without_experts(config, source, options.to);
    check_parameters(config, files);
    const Forms wanted = wanted_forms(config, options.to);
    refuse_stored_so(files, config, wanted, options.to);
    const auto load = [&](const std::string& name, std::optional<DType> dtype) {
        return dtype ? files.load(name, *dtype) : files.load(name);
    };
    Conversion conversion(context, source, lines_of(files, wanted), load, &files, options);
    checkpoint::HuggingFaceWriter writer(
        directory, conversion.specs(),
        {.max_shard_bytes = options.max_shard_bytes, .force = options.force});
    writer.add_file("config.json", stored_as(files.config_text(), config, options.to));
    for (const auto& entry : std::filesystem::directory_iterator(source)) {
        if (is_companion(entry))
            writer.add_file(entry.path().filename().string(), read_file(entry.path()));
    }
    const QuantizeResult result = conversion.run(writer, options.progress);
    writer.finish();
    return result;
}

QuantizeResult quantize_gguf(Context& context, const std::filesystem::path& source,
                             const std::filesystem::path& directory,
                             const QuantizeOptions& options) {
    const auto file = checkpoint::Gguf::open(source);
    const ModelConfig config = gguf_config(file).config;
    refuse_without_experts(config, source, options.to);
    const GgufWeights weights(file, config);
    const Forms wanted = wanted_forms(config, options.to);
    Weights none;
    std::map<std::string, Parameter> known;
    std::vector<Line> lines;
    for (const Parameter& parameter : parameters(config, none)) {
        lines.push_back({.name = parameter.name,
                         .shape = parameter.shape,
                         .from = DType::f32,
                         .packed_bits = 16,
                         .to = wanted.at(parameter.name)});
        known.emplace(parameter.name, parameter);
    }
    const auto load = [&](const std::string& name, std::optional<DType> dtype) {
        const Parameter& parameter = known.at(name);
        Tensor values = Tensor::uninitialized(parameter.shape, dtype.value_or(DType::f32));
        weights.read(context, parameter, values);
        return values;
    };
    Conversion conversion(context, source, std::move(lines), load, nullptr, options);
    checkpoint::HuggingFaceWriter writer(
        directory, conversion.specs(),
        {.max_shard_bytes = options.max_shard_bytes, .force = options.force});
    writer.add_file("config.json", stored_as(config_text(config), config, options.to));
    for (const auto& [name, content] : options.files) writer.add_file(name, content);
    const QuantizeResult result = conversion.run(writer, options.progress);
    writer.finish();
    return result;
}

}  // namespace hadal::model
