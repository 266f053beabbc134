#include "model/quantize_model.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/hugging_face_writer.h"
#include "checkpoint/non_finite.h"
#include "core/file_map.h"
#include "formats/bfloat16.h"
#include "formats/int4_group.h"
#include "model/parameters.h"
#include "ops/convert.h"
#include "ops/quantize.h"

namespace hadal::model {

namespace {

using checkpoint::TensorInfo;

constexpr std::string_view kScaleSuffix = "_scale_inv";

/// How a tensor is written.
enum class Form { as_it_is, f32, bf16, block_fp8, int4 };
using Forms = std::map<std::string, Form, std::less<>>;

Form form_of(const Parameter& parameter, Storage to) {
    if (to == Storage::block_fp8 && is_quantised(parameter)) return Form::block_fp8;
    if (to == Storage::int4_experts && parameter.role == Role::expert) {
        if (formats::fits_int4(parameter.shape)) return Form::int4;
        throw Error(Error::Kind::unsupported,
                    concat("tensor '", parameter.name, "' is ", parameter.shape.text(),
                           ", INT4 takes rows of whole groups of ", formats::kInt4Group,
                           " (--to fp8 takes any shape)"));
    }
    return parameter_dtype(parameter, DType::bf16) == DType::f32 ? Form::f32 : Form::bf16;
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

/// The tensors that make up `name`, in the order in which they are written.
std::vector<checkpoint::TensorSpec> specs_of(const std::string& name, const Shape& shape, Form form,
                                             DType as_it_is) {
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
            return {
                {concat(name, "_packed"), DType::i32, {shape[0], shape[1] / formats::kInt4PerWord}},
                {concat(name, "_scale"), DType::bf16, {shape[0], shape[1] / formats::kInt4Group}},
                {concat(name, "_shape"), DType::i64, {2}}};
    }
    return {};
}

formats::Int4Matrix int4_of(Context& context, const Tensor& w, std::span<const float> importance) {
    constexpr int64_t kRows = 64;
    const int64_t rows = w.shape()[0];
    auto q = formats::Int4Matrix::uninitialized(w.shape());
    context.threads.parallel_for((rows + kRows - 1) / kRows, [&](int64_t part) {
        const int64_t begin = part * kRows, count = std::min(kRows, rows - begin);
        formats::Int4Matrix some = q.rows(begin, count);
        formats::quantize_int4(w.rows(begin, count), importance, some);
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
    ModelConfig stored = config;
    stored.block_fp8 = to == Storage::block_fp8;
    stored.int4_groups = to == Storage::int4_experts;
    const auto ours = nlohmann::ordered_json::parse(config_text(stored));
    auto object = nlohmann::ordered_json::parse(source);
    object.erase("quantization_config");
    if (ours.contains("quantization_config"))
        object["quantization_config"] = ours["quantization_config"];
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

class Conversion {
  public:
    Conversion(Context& context, const checkpoint::HuggingFace& files, const ModelConfig& config,
               const QuantizeOptions& options)
        : context_(context), files_(files), importance_(options.importance) {
        const Forms wanted = wanted_forms(config, options.to);
        for (const TensorInfo& info : files.tensors()) {
            if (is_scale(info.name)) continue;
            std::string_view packed = files.int4_weight_of(info.name);
            if (!wanted.contains(packed)) packed = {};
            if (!packed.empty() && !info.name.ends_with("_packed")) continue;
            const std::string name(packed.empty() ? std::string_view(info.name) : packed);
            const Shape shape = packed.empty() ? info.shape : *files.int4_shape(packed);
            const auto found = wanted.find(name);
            const Form form = found == wanted.end() ? Form::as_it_is : found->second;
            lines_.push_back({name, packed.empty() ? info.dtype : DType::f32, form});
            result_.weights += shape.count();
            const auto specs = specs_of(name, shape, form, info.dtype);
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
    struct Line {
        std::string name;
        DType from;  // bf16, or what is read as f32
        Form to;     // as it is: unknown to the configuration
    };

    bool is_scale(std::string_view name) const {
        if (!name.ends_with(kScaleSuffix)) return false;
        const TensorInfo* weight = files_.find(name.substr(0, name.size() - kScaleSuffix.size()));
        return weight != nullptr && weight->dtype == DType::f8_e4m3;
    }

    void write(const Line& line, checkpoint::HuggingFaceWriter& writer) {
        const std::string& name = line.name;
        if (line.to == Form::as_it_is) return writer.add(name, files_.load(name));
        // What the stored numbers stand for, exactly: bf16 as it is, anything else as f32.
        const bool as_bf16 = line.from == DType::bf16 && line.to != Form::f32;
        const Tensor source = files_.load(name, as_bf16 ? DType::bf16 : DType::f32);
        if (checkpoint::count_non_finite(source) > 0) {
            throw Error(Error::Kind::corrupt_file,
                        concat("tensor '", name, "' holds values that are not finite: ",
                               files_.directory().string(), " (hadal inspect --check lists them)"));
        }
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
        const auto important = importance_.find(name);
        const formats::Int4Matrix q =
            int4_of(context_, source,
                    important == importance_.end() ? std::span<const float>() : important->second);
        Tensor sizes = Tensor::uninitialized({2}, DType::i64);
        sizes.values<int64_t>()[0] = source.shape()[0];
        sizes.values<int64_t>()[1] = source.shape()[1];
        writer.add(concat(name, "_packed"), q.packed);
        writer.add(concat(name, "_scale"), q.scale);
        writer.add(concat(name, "_shape"), sizes);
        formats::dequantize_int4(q, read_back);
        return read_back;
    }

    double difference(const Tensor& x, const Tensor& y) const {
        if (y.dtype() == DType::bf16)
            return largest_difference(context_, x.values<float>(), y.values<bf16>());
        if (x.dtype() == DType::bf16)
            return largest_difference(context_, x.values<bf16>(), y.values<float>());
        return largest_difference(context_, x.values<float>(), y.values<float>());
    }

    Context& context_;
    const checkpoint::HuggingFace& files_;
    const ColumnImportance& importance_;
    std::vector<Line> lines_;
    std::vector<checkpoint::TensorSpec> specs_;
    QuantizeResult result_;
};

}  // namespace

QuantizeResult quantize_model(Context& context, const std::filesystem::path& source,
                              const std::filesystem::path& directory,
                              const QuantizeOptions& options) {
    const auto files = checkpoint::HuggingFace::open(source);
    const ModelConfig config = stored_config(files);
    const bool fp8_already = config.block_fp8 && options.to == Storage::block_fp8;
    if (fp8_already || (config.int4_groups && options.to == Storage::int4_experts)) {
        throw Error(Error::Kind::usage,
                    concat("the weights are in ", fp8_already ? "block-FP8" : "INT4",
                           " already: ", source.string()));
    }
    if (config.n_routed_experts == 0 && options.to == Storage::int4_experts) {
        throw Error(Error::Kind::unsupported,
                    concat("INT4 is for routed experts, and the model has none: ", source.string(),
                           " (--to fp8 takes every linear layer)"));
    }
    check_parameters(config, files);
    Conversion conversion(context, files, config, options);
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

}  // namespace hadal::model
