#include "plan/layer_times.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::plan {

double matmul_peak(const Inputs& inputs) {
    const std::string& precision = inputs.layout.precision;
    const double tflops = precision == "bf16"    ? inputs.gpu.bf16_tflops
                          : precision == "nvfp4" ? inputs.gpu.fp4_tflops
                                                 : inputs.gpu.fp8_tflops;
    if (tflops > 0) return tflops * 1e12;
    throw Error(Error::Kind::bad_input, concat("layout.precision = '", precision, "': ",
                                               inputs.gpu.name, " has no such arithmetic (try ",
                                               inputs.gpu.fp8_tflops > 0 ? "fp8" : "bf16", ")"));
}

double overlapped(double one, double other, double loss) {
    return std::max(one, other) + loss * std::min(one, other);
}

double micro_batch_tokens(const Layout& layout) {
    return double(layout.micro_batch * layout.sequence) / double(layout.tp);
}

LayerTimes layer_times(const model::ModelConfig& config, const Inputs& inputs, double tokens) {
    const ModelWork work = work_of(config);
    const Efficiency& e = inputs.efficiency;
    const Layout& layout = inputs.layout;
    const double peak = matmul_peak(inputs), bf16 = inputs.gpu.bf16_tflops * 1e12;
    const auto dense = [&](double weights) { return 2 * tokens * weights / (peak * e.dense_gemm); };
    const auto grouped = [&](double weights) {
        return 2 * tokens * weights * layout.load_imbalance / (peak * e.grouped_gemm);
    };
    const auto gradient = [&](double weights) {
        return 2 * tokens * weights / (peak * e.weight_gradient_gemm);
    };
    const double bandwidth = inputs.gpu.memory_gb_per_s * 1e9 * e.elementwise_bandwidth;
    const auto elementwise = [&](double width, double bytes) {
        return tokens * width * bytes / bandwidth;
    };
    const double core = tokens * work.core * double(layout.sequence) / 2 / bf16;
    const bool moe = work.moe_layers > 0;
    const double always = moe ? work.shared : work.dense;

    LayerTimes t;
    t.attention_f = dense(work.attention) + core / e.attention_forward +
                    elementwise(work.attention_width, e.attention_forward_bytes);
    t.attention_b = dense(work.attention + work.up_projections) +
                    core * work.core_backward / e.attention_backward +
                    elementwise(work.attention_width, e.attention_backward_bytes);
    t.attention_w = gradient(work.attention);
    t.experts_f = dense(always) + grouped(work.routed) +
                  elementwise(work.expert_width, e.expert_forward_bytes);
    t.experts_b = dense(always) + grouped(work.routed) +
                  elementwise(work.expert_width, e.expert_backward_bytes);
    t.experts_w = gradient(always + work.routed * layout.load_imbalance);

    const AllToAll traffic = all_to_all(config, inputs, layout.ep);
    t.dispatch_f = t.combine_b = dispatch_seconds(traffic, inputs, tokens);
    t.combine_f = t.dispatch_b = combine_seconds(traffic, inputs, tokens);
    if (moe && layout.ep > 1) t.sync = e.all_to_all_sync_ms / 1e3;
    if (layout.tp > 1) {
        const double rows = tokens * double(layout.tp - 1) * 2 * double(config.hidden_size);
        t.tensor_f = 2 * rows / (inputs.network.scale_up_gb_per_s * 1e9 * e.collective);
    }
    if (layout.pp > 1) {
        t.send = tokens * 2 * double(config.hidden_size) /
                 (inputs.network.scale_out_gb_per_s * 1e9 * e.collective);
    }
    return t;
}

ChunkTimes chunk_times(const LayerTimes& layer, const Inputs& inputs, double layers) {
    const Production& p = inputs.production;
    const double loss = inputs.efficiency.overlap_loss;
    const auto network = [&](double all_to_all) {
        return layers * all_to_all * p.network_slowdown + layer.send;
    };
    const double exposed = inputs.layout.bidirectional() ? p.warmup_exposed : p.serial_exposed;
    const double f = layers * layer.compute_f() * p.compute_slowdown;
    const double b = layers * layer.compute_b() * p.compute_slowdown;
    const double w = layers * layer.compute_w() * p.compute_slowdown;
    const double network_f = network(layer.network_f()), network_b = network(layer.network_b());
    ChunkTimes chunk{.f = f + exposed * network_f, .b = b + exposed * network_b, .w = w};
    if (inputs.layout.bidirectional())
        chunk.pair = overlapped(f + b + w, network_f + network_b, loss);
    return chunk;
}

}  // namespace hadal::plan
