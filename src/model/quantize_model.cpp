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
#include "model/parameters.h"
#include "ops/convert.h"
#include "ops/quantize.h"

namespace hadal::model {

namespace {

using checkpoint::TensorInfo;

constexpr std::string_view kScaleSuffix = "_scale_inv";

/// The types that the new files hold the known tensors in, by name: parameters, and the copies of
/// embedding and head that MTP modules repeat.
std::map<std::string, DType, std::less<>> wanted_types(const ModelConfig& config, Storage to) {
    Weights none;
    std::map<std::string, DType, std::less<>> wanted;
    checkpoint_tensors(config, none,
                       [&](const std::string& name, const Tensor&) { wanted[name] = DType::bf16; });
    for (const Parameter& parameter : parameters(config, none)) {
        wanted[parameter.name] = to == Storage::block_fp8 && is_quantised(parameter)
                                     ? DType::f8_e4m3
                                     : parameter_dtype(parameter, DType::bf16);
    }
    return wanted;
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
               Storage to)
        : context_(context), files_(files) {
        const auto wanted = wanted_types(config, to);
        for (const TensorInfo& info : files.tensors()) {
            if (is_scale(info.name)) continue;
            const auto found = wanted.find(info.name);
            const DType type = found == wanted.end() ? info.dtype : found->second;
            lines_.push_back({&info, type, found != wanted.end()});
            specs_.push_back({info.name, type, info.shape});
            if (type == DType::f8_e4m3)
                specs_.push_back({concat(info.name, kScaleSuffix), DType::f32,
                                  formats::scale_shape(info.shape)});
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
        const TensorInfo* from;
        DType to;
        bool known;  // to the configuration; anything else is copied
    };

    bool is_scale(std::string_view name) const {
        if (!name.ends_with(kScaleSuffix)) return false;
        const TensorInfo* weight = files_.find(name.substr(0, name.size() - kScaleSuffix.size()));
        return weight != nullptr && weight->dtype == DType::f8_e4m3;
    }

    void write(const Line& line, checkpoint::HuggingFaceWriter& writer) {
        const std::string& name = line.from->name;
        if (!line.known) return writer.add(name, files_.load(name));
        // What the stored numbers stand for, exactly: bf16 as it is, anything else as f32.
        const Tensor source = files_.load(
            name,
            line.from->dtype == DType::bf16 && line.to != DType::f32 ? DType::bf16 : DType::f32);
        if (checkpoint::count_non_finite(source) > 0) {
            throw Error(Error::Kind::corrupt_file,
                        concat("tensor '", name, "' holds values that are not finite: ",
                               files_.directory().string(), " (hadal inspect --check lists them)"));
        }
        if (line.to == source.dtype()) return writer.add(name, source);
        Tensor read_back = Tensor::uninitialized(source.shape(), DType::bf16);
        if (line.to == DType::f8_e4m3) {
            auto q = ops::TiledMatrix::uninitialized(source.shape(), formats::kBlockTiles);
            ops::quantize_tiles(context_, source, q);
            writer.add(name, q.codes);
            writer.add(concat(name, kScaleSuffix), q.scale);
            read_back = Tensor::uninitialized(source.shape(), DType::f32);
            ops::dequantize_tiles(context_, q, read_back);
        } else {
            ops::convert(context_, source, read_back);
            writer.add(name, read_back);
        }
        result_.max_abs_error = std::max(result_.max_abs_error, difference(source, read_back));
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
    if (config.block_fp8 && options.to == Storage::block_fp8) {
        throw Error(Error::Kind::usage,
                    concat("the weights are in block-FP8 already: ", source.string()));
    }
    check_parameters(config, files);
    Conversion conversion(context, files, config, options.to);
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
