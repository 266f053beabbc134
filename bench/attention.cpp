// Speed of attention against the multipliers' peak, measured in the same run. GFLOP/s count the
// (query, key) pairs that are not masked; medians. One JSON object a line: bench_attention ISA…
// [f32] [one] [case…]; `one` thread counts the processor's time instead of the clock's, for busy
// machines.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "matmul_peak.h"
#include "ops/attention_latent.h"
#include "ops/attention_prefill.h"
#include "ops/convert.h"

namespace hadal::bench {

namespace {

/// With one thread: time this process ran, which a busy machine does not stretch.
double now(bool processor_time) {
    timespec time{};
    clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

double median_seconds(Context& context, const std::function<void()>& work) {
    const auto now = [&] { return bench::now(context.threads.size() == 1); };
    std::vector<double> times;
    work();
    double total = 0;
    while (times.size() < 5 || (total < 0.5 && times.size() < 5001)) {
        const double begin = now();
        work();
        times.push_back(now() - begin);
        total += times.back();
    }
    std::nth_element(times.begin(), times.begin() + int64_t(times.size() / 2), times.end());
    return times[times.size() / 2];
}

/// Values in (−1, 1).
Tensor noise(Context& context, int64_t rows, int64_t columns, DType dtype) {
    Tensor x = Tensor::uninitialized({rows, columns}, DType::f32);
    for (int64_t i = 0; i < x.count(); ++i) {
        x.values<float>()[size_t(i)] = float(int32_t(mix_bits(uint64_t(i)) >> 32)) * 0x1p-31f;
    }
    if (dtype == DType::f32) return x;
    Tensor y = Tensor::uninitialized({rows, columns}, dtype);
    ops::convert(context, x, y);
    return y;
}

struct PrefillCase {
    const char* name;
    int64_t sequences, length, heads, nope, rope, v;
};

constexpr PrefillCase kPrefill[] = {
    {"demo", 8, 512, 8, 32, 16, 32},
    {"wide", 8, 512, 8, 64, 32, 64},
    {"v3", 1, 4096, 16, 128, 64, 128}};  // 16 of 128 heads: heads only repeat

/// Most operations a second of all threads, registers alone.
double peak_of(Context& context, DType dtype) {
    double operations = 0;
    const double seconds = median_seconds(context, [&] {
        context.threads.parallel_for(context.threads.size(), [&](int64_t i) {
            double mine = 0;
            if (dtype == DType::bf16) {
                spin_bf16(context.isa, mine);
            } else {
                spin_f32(context.isa, mine);
            }
            if (i == 0) operations = mine * context.threads.size();
        });
    });
    return operations / seconds;
}

struct Run {
    Context& context;
    DType dtype;
    double peak;

    void print(const char* what, const char* name_of_case, double seconds, double flops) const {
        std::printf(
            "{\"op\":\"%s\",\"case\":\"%s\",\"isa\":\"%s\",\"type\":\"%s\",\"threads\":%d,\"ms\":%."
            "3f,"
            "\"gflops\":%.0f,\"share\":%.2f}\n",
            what, name_of_case, std::string(name(context.isa)).c_str(),
            std::string(name(dtype)).c_str(), context.threads.size(), seconds * 1e3,
            flops / seconds * 1e-9, flops / seconds / peak);
        std::fflush(stdout);
    }
};

void measure_prefill(const Run& run, const PrefillCase& c) {
    Context& context = run.context;
    const DType dtype = run.dtype;
    const int64_t tokens = c.sequences * c.length, dim = c.nope + c.rope;
    const ops::AttentionShape shape = {.heads = c.heads,
                                       .qk_nope_head_dim = c.nope,
                                       .qk_rope_head_dim = c.rope,
                                       .v_head_dim = c.v,
                                       .scale = 0.1};
    std::vector<int64_t> starts;
    for (int64_t s = 0; s <= c.sequences; ++s) starts.push_back(s * c.length);
    const Tensor q = noise(context, tokens, c.heads * dim, dtype);
    const Tensor kv = noise(context, tokens, c.heads * (c.nope + c.v), dtype);
    const Tensor k_pe = noise(context, tokens, c.rope, dtype);
    const Tensor d_o = noise(context, tokens, c.heads * c.v, dtype);
    Tensor o = d_o.clone(), d_q = q.clone(), d_kv = kv.clone(), d_k_pe = k_pe.clone();
    Tensor lse = Tensor::zeros({tokens, c.heads}, DType::f32);
    const double pairs =
        double(c.sequences * c.heads) * double(c.length) * double(c.length + 1) / 2;
    const double forward = median_seconds(
        context, [&] { ops::attention_prefill(context, {q, kv, k_pe}, starts, shape, {o, lse}); });
    run.print("prefill", c.name, forward, pairs * 2 * double(dim + c.v));
    const double backward = median_seconds(context, [&] {
        ops::attention_prefill_backward(context, d_o, {{q, kv, k_pe}, o, lse}, starts, shape,
                                        {d_q, d_kv, d_k_pe});
    });
    // Scores again, d_q, d_k; d_p, d_v.
    run.print("prefill_backward", c.name, backward, pairs * 2 * double(3 * dim + 2 * c.v));
}

struct LatentCase {
    const char* name;
    int64_t sequences, queries, length, heads, rank, rope;
};

constexpr LatentCase kLatent[] = {
    {"demo_decode_8", 8, 1, 512, 8, 64, 16},       {"demo_prefill_512", 1, 512, 512, 8, 64, 16},
    {"s_decode_4k", 1, 1, 4096, 8, 512, 64},       {"s_decode_16k", 1, 1, 16384, 8, 512, 64},
    {"v2_lite_decode_1", 1, 1, 8192, 16, 512, 64}, {"v3_decode_1", 1, 1, 8192, 128, 512, 64},
    {"v3_decode_4", 4, 1, 4096, 128, 512, 64},     {"v3_chunk_32", 1, 32, 4096, 128, 512, 64}};

/// Seconds to read the cache once, and nothing else.
double reading_seconds(Context& context, const Tensor& cache) {
    constexpr int64_t kStep = int64_t(16) << 10;
    const auto* words = reinterpret_cast<const uint64_t*>(cache.data());
    const int64_t count = cache.bytes() / 8;
    std::vector<uint64_t> sums(size_t(context.threads.size()) * 8);
    return median_seconds(context, [&] {
        context.threads.parallel_ranges(
            count / kStep, 1, [&](int64_t begin, int64_t end, int thread) {
                uint64_t sum[8] = {};
                for (int64_t i = begin * kStep; i < end * kStep; i += 8) {
                    for (int64_t j = 0; j < 8; ++j) sum[j] += words[i + j];
                }
                for (const uint64_t part : sum) sums[size_t(thread) * 8] += part;
            });
    });
}

void measure_latent(const Run& run, const LatentCase& c) {
    Context& context = run.context;
    const DType dtype = run.dtype;
    const int64_t tokens = c.sequences * c.queries;
    const Tensor q_latent = noise(context, tokens, c.heads * c.rank, dtype);
    const Tensor q_pe = noise(context, tokens, c.heads * c.rope, dtype);
    const int64_t pages = (c.length + ops::kLatentPageRows - 1) / ops::kLatentPageRows;
    const ops::LatentPages cache = {
        noise(context, c.sequences * pages * ops::kLatentPageRows, c.rank + c.rope, dtype)};
    std::vector<int32_t> tables(size_t(c.sequences * pages));
    for (size_t i = 0; i < tables.size(); ++i) tables[i] = int32_t(i * 7 % tables.size());
    std::vector<ops::LatentSequence> sequences;
    for (int64_t s = 0; s < c.sequences; ++s) {
        sequences.push_back({std::span(tables).subspan(size_t(s * pages), size_t(pages)), c.length,
                             s * c.queries, c.queries});
    }
    Tensor u = q_latent.clone();
    const double seconds = median_seconds(
        context, [&] { ops::attention_latent(context, q_latent, q_pe, cache, sequences, 0.1, u); });
    const double keys = double(c.length) - double(c.queries - 1) / 2;
    run.print("latent", c.name, seconds,
              double(tokens * c.heads) * keys * 2 * double(2 * c.rank + c.rope));
    std::printf("{\"op\":\"read the cache\",\"case\":\"%s\",\"share_of_latent\":%.2f}\n", c.name,
                reading_seconds(context, cache.rows) / seconds);
}

int run_all(const std::vector<std::string_view>& arguments) {
    const auto given = [&](std::string_view text) {
        return std::find(arguments.begin(), arguments.end(), text) != arguments.end();
    };
    const auto named = [&](const auto& c) { return given(c.name); };
    const bool all = std::none_of(std::begin(kPrefill), std::end(kPrefill), named) &&
                     std::none_of(std::begin(kLatent), std::end(kLatent), named);
    ThreadPool threads(given("one") ? 1 : 0);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        if (!given(name(isa))) continue;
        Context context{threads, workspace, isa};
        const DType dtype = given("f32") ? DType::f32 : DType::bf16;
        const Run run = {context, dtype, peak_of(context, dtype)};
        run.print("peak", "registers", 1, run.peak);
        for (const PrefillCase& c : kPrefill) {
            if (all || named(c)) measure_prefill(run, c);
        }
        for (const LatentCase& c : kLatent) {
            if (all || named(c)) measure_latent(run, c);
        }
    }
    return 0;
}

}  // namespace

}  // namespace hadal::bench

int main(int count, char** values) {
    const std::vector<std::string_view> arguments(values + 1, values + count);
    return hadal::bench::run_all(arguments);
}
