// Speed of the elementwise operators against the memory bandwidth of a copy, measured in the same
// run. One JSON object a line: bench_elementwise [threads [isa…]]. Bytes are those that an operator
// must move at least: each input read once, each output written once. Medians, because the machine
// may be busy.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "formats/bfloat16.h"
#include "ops/adamw_step.h"
#include "ops/convert.h"
#include "ops/cross_entropy.h"
#include "ops/embedding.h"
#include "ops/gate_topk.h"
#include "ops/permute.h"
#include "ops/reduce.h"
#include "ops/rms_norm.h"
#include "ops/rotary.h"
#include "ops/silu_mul.h"

namespace hadal::bench {

namespace {

constexpr int64_t kTokens = 4096;
constexpr int64_t kHidden = 7168;
constexpr int64_t kIntermediate = 2048;
constexpr int64_t kTopK = 8;
constexpr int64_t kExperts = 256;

/// Values in (−1, 1): noise repeated, so that setting up takes no longer than measuring.
Tensor noise(Shape shape, DType dtype) {
    constexpr int64_t kPeriod = 65521;
    static const std::vector<float> pattern = [] {
        std::vector<float> values;
        for (int64_t i = 0; i < kPeriod; ++i) {
            values.push_back(float(2 * random_uniform(1, 2, uint64_t(i)) - 1));
        }
        return values;
    }();
    Tensor x = Tensor::uninitialized(shape, dtype);
    for (int64_t i = 0; i < x.count(); ++i) {
        const float value = pattern[size_t(i % kPeriod)];
        if (dtype == DType::bf16) {
            x.values<bf16>()[size_t(i)] = to_bf16(value);
        } else {
            x.values<float>()[size_t(i)] = value;
        }
    }
    return x;
}

Tensor ids_below(Shape shape, int64_t bound) {
    Tensor ids = Tensor::uninitialized(shape, DType::i32);
    for (int64_t i = 0; i < ids.count(); ++i) {
        ids.values<int32_t>()[size_t(i)] =
            int32_t(random_bits(3, 4, uint64_t(i)) % uint64_t(bound));
    }
    return ids;
}

double median_seconds(const std::function<void()>& work) {
    constexpr int kRepetitions = 11;
    work();
    std::vector<double> times;
    for (int i = 0; i < kRepetitions; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        work();
        times.push_back(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::nth_element(times.begin(), times.begin() + kRepetitions / 2, times.end());
    return times[kRepetitions / 2];
}

/// Bytes read and written per second by a copy of 128 MiB.
double copy_bandwidth(ThreadPool& threads) {
    constexpr int64_t kBytes = int64_t(128) << 20;
    constexpr int64_t kBlock = int64_t(256) << 10;
    const Tensor from = noise({kBytes / 4}, DType::f32);
    Tensor to = noise({kBytes / 4}, DType::f32);
    const double seconds = median_seconds([&] {
        threads.parallel_for(kBytes / kBlock, [&](int64_t i) {
            std::memcpy(to.data() + i * kBlock, from.data() + i * kBlock, size_t(kBlock));
        });
    });
    return 2 * double(kBytes) / seconds;
}

class Bench {
  public:
    Bench(Isa isa, ThreadPool& threads, double bandwidth)
        : context_{threads, workspace_, isa}, bandwidth_(bandwidth) {}

    void norms();
    void gates();
    void losses();
    void optimizer();
    void rows();
    void router();

  private:
    /// `moved`: the tensors read or written, one entry for each time.
    void report(const char* operation, const std::vector<Tensor>& moved,
                const std::function<void()>& work) {
        int64_t bytes = 0;
        for (const Tensor& tensor : moved) bytes += tensor.bytes();
        const double seconds = median_seconds(work);
        const double rate = double(bytes) / seconds;
        std::printf(
            "{\"isa\":\"%s\",\"threads\":%d,\"operator\":\"%s\",\"us\":%.0f,\"gb_per_s\":%.1f,"
            "\"share_of_copy\":%.2f}\n",
            std::string(name(context_.isa)).c_str(), context_.threads.size(), operation,
            seconds * 1e6, rate * 1e-9, rate / bandwidth_);
        std::fflush(stdout);
    }

    Workspace workspace_;
    Context context_;
    double bandwidth_;
};

void Bench::norms() {
    const Tensor x = noise({kTokens, kHidden}, DType::bf16);
    const Tensor dy = noise({kTokens, kHidden}, DType::bf16);
    const Tensor w = noise({kHidden}, DType::bf16);
    Tensor y = noise({kTokens, kHidden}, DType::bf16);
    Tensor r = noise({kTokens}, DType::f32);
    Tensor dw = noise({kHidden}, DType::f32);
    report("rms_norm", {x, y}, [&] { ops::rms_norm(context_, x, w, 1e-6, y, r); });
    report("rms_norm_backward_input", {dy, x, y},
           [&] { ops::rms_norm_backward_input(context_, dy, x, w, r, false, y); });
    report("rms_norm_backward_weight", {dy, x},
           [&] { ops::rms_norm_backward_weight(context_, dy, x, r, dw); });
    report("add", {x, y, y}, [&] { ops::add(context_, x, y); });
}

void Bench::gates() {
    constexpr int64_t kRows = kTokens * 4;
    const Tensor gate = noise({kRows, kIntermediate}, DType::bf16);
    const Tensor up = noise({kRows, kIntermediate}, DType::bf16);
    const Tensor d_product = noise({kRows, kIntermediate}, DType::bf16);
    const Tensor weight = noise({kRows}, DType::f32);
    Tensor d_gate = noise({kRows, kIntermediate}, DType::bf16);
    Tensor d_up = noise({kRows, kIntermediate}, DType::bf16);
    Tensor d_weight = noise({kRows}, DType::f32);
    report("silu_mul", {gate, up, d_up}, [&] { ops::silu_mul(context_, gate, up, weight, d_up); });
    report("silu_mul_backward", {gate, up, d_product, d_gate, d_up}, [&] {
        ops::silu_mul_backward(context_, d_product, {gate, up, weight}, {d_gate, d_up, d_weight});
    });
}

void Bench::losses() {
    constexpr int64_t kVocab = 129280;
    constexpr int64_t kRows = 256;
    const Tensor logits = noise({kRows, kVocab}, DType::f32);
    const Tensor targets = ids_below({kRows}, kVocab);
    Tensor loss = noise({kRows}, DType::f32);
    Tensor d_logits = noise({kRows, kVocab}, DType::bf16);
    Tensor none;
    Tensor ids = ids_below({kRows}, kVocab);
    report("cross_entropy", {logits, d_logits},
           [&] { ops::cross_entropy(context_, logits, targets, 0.1, loss, d_logits); });
    report("cross_entropy_loss_only", {logits},
           [&] { ops::cross_entropy(context_, logits, targets, 0.1, loss, none); });
    report("argmax", {logits}, [&] { ops::argmax(context_, logits, ids); });
}

void Bench::optimizer() {
    constexpr int64_t kCount = int64_t(16) << 20;
    Tensor gradient = noise({kCount}, DType::f32);
    Tensor master = noise({kCount}, DType::f32);
    Tensor m = noise({kCount}, DType::f32);
    Tensor v = Tensor::zeros({kCount}, DType::f32);
    Tensor parameter = noise({kCount}, DType::bf16);
    const std::vector<Tensor> moved{gradient, gradient, master, master, m, m, v, v, parameter};
    report("adamw_step", moved, [&] {
        ops::adamw_step(context_, {.learning_rate = 1e-4}, gradient, master, m, v, parameter);
    });
    report("sum_of_squares", {gradient}, [&] { ops::sum_of_squares(context_, master); });
    report("convert_f32_bf16", {master, parameter},
           [&] { ops::convert(context_, master, parameter); });
    report("convert_bf16_f32", {master, parameter}, [&] { ops::convert(context_, parameter, m); });
}

void Bench::rows() {
    const Tensor x = noise({kTokens, kHidden}, DType::bf16);
    const Tensor experts = ids_below({kTokens, kTopK}, kExperts);
    std::vector<int64_t> offsets(size_t(kExperts) + 1);
    Tensor row_source = ids_below({kTokens * kTopK}, 1);
    Tensor slot_row = ids_below({kTokens, kTopK}, 1);
    report("expert_order", {experts, row_source, slot_row},
           [&] { ops::expert_order(context_, experts, offsets, row_source, slot_row); });
    Tensor rows = noise({kTokens * kTopK, kHidden}, DType::bf16);
    Tensor y = noise({kTokens, kHidden}, DType::bf16);
    report("gather_rows", {x, rows},
           [&] { ops::gather_rows(context_, x, row_source, kTopK, rows); });
    report("combine_rows", {rows, y},
           [&] { ops::combine_rows(context_, rows, slot_row, false, y); });
    const Tensor ids = ids_below({kTokens}, 4096);
    Tensor d_table = noise({4096, kHidden}, DType::f32);
    report("embedding_backward", {x, d_table, d_table},
           [&] { ops::embedding_backward(context_, ids, x, d_table); });
}

void Bench::router() {
    const Tensor logits = noise({kTokens, kExperts}, DType::f32);
    const Tensor bias = noise({kExperts}, DType::f32);
    Tensor scores = noise({kTokens, kExperts}, DType::f32);
    Tensor ids = ids_below({kTokens, kTopK}, 1);
    Tensor weights = noise({kTokens, kTopK}, DType::f32);
    const ops::GateOptions options{.n_group = 8, .topk_group = 4, .top_k = kTopK};
    report("gate_topk", {logits, scores},
           [&] { ops::gate_topk(context_, logits, bias, options, scores, ids, weights); });
    Tensor q = noise({1024, 128 * 192}, DType::bf16);
    const Tensor cos_sin = noise({1024, 64}, DType::f32);
    const Tensor positions = ids_below({1024}, 1024);
    const Tensor turned = Tensor::uninitialized({1024, 128 * 64}, DType::bf16);
    report("rotary", {turned, turned}, [&] {
        ops::rotary(context_, q, {128, 192, 128, 64}, cos_sin, positions,
                    ops::RotaryDirection::forward);
    });
}

}  // namespace

}  // namespace hadal::bench

int main(int argc, char** argv) {
    using namespace hadal;
    ThreadPool threads(argc > 1 ? std::atoi(argv[1]) : 0);
    std::vector<Isa> isas;
    for (int i = 2; i < argc; ++i) isas.push_back(parse_isa(argv[i]));
    if (isas.empty()) isas = {best_isa()};
    const double bandwidth = bench::copy_bandwidth(threads);
    std::printf("{\"threads\":%d,\"copy_gb_per_s\":%.1f}\n", threads.size(), bandwidth * 1e-9);
    for (const Isa isa : isas) {
        bench::Bench bench(isa, threads, bandwidth);
        bench.norms();
        bench.gates();
        bench.losses();
        bench.optimizer();
        bench.rows();
        bench.router();
    }
    return 0;
}
