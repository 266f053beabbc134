// Speed of the FP8 products against what the registers can do in bf16 and against hadal's own bf16
// product of the same shape, taken in turns. One JSON object a line: bench_matmul_fp8 [isa…]; one
// thread, its processor's time, medians.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "formats/bfloat16.h"
#include "matmul_peak.h"
#include "ops/matmul.h"
#include "ops/matmul_fp8.h"
#include "ops/quantize.h"

namespace hadal::bench {

namespace {

using formats::TiledMatrix;

enum class Form { nt, nn, tn };
constexpr const char* kFormNames[] = {"nt", "nn", "tn"};

struct Case {
    const char* name;
    int64_t products, tokens, out, in;
};

constexpr Case kCases[] = {{"cube", 1, 512, 512, 512},        {"cube", 1, 1024, 1024, 1024},
                           {"wide_o", 1, 4096, 512, 512},     {"wide_up", 1, 1024, 1408, 512},
                           {"v3_gate", 1, 512, 2048, 7168},   {"wide_experts", 64, 384, 256, 512},
                           {"demo_experts", 32, 64, 128, 256}};

double now(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

/// Median seconds of each kind of work, taken in turns for about half a second each.
std::vector<double> medians(const std::vector<std::function<void()>>& works, clockid_t clock) {
    constexpr double kBudget = 0.5;
    std::vector<std::vector<double>> times(works.size());
    double spent = 0;
    for (const auto& work : works) work();
    while (spent < kBudget * double(works.size()) || times[0].size() < 5) {
        for (size_t i = 0; i < works.size(); ++i) {
            const double begin = now(clock);
            works[i]();
            times[i].push_back(now(clock) - begin);
            spent += times[i].back();
        }
    }
    std::vector<double> result;
    for (auto& each : times) {
        std::nth_element(each.begin(), each.begin() + long(each.size()) / 2, each.end());
        result.push_back(each[each.size() / 2]);
    }
    return result;
}

Tensor noise(int64_t rows, int64_t columns) {
    Tensor x = Tensor::uninitialized({rows, columns}, DType::bf16);
    for (int64_t i = 0; i < x.count(); ++i) {
        const float value = float(int32_t(random_bits(1, 2, uint64_t(i)) >> 32)) * 0x1p-31f;
        x.values<bf16>()[size_t(i)] = to_bf16(value);
    }
    return x;
}

TiledMatrix quantized(Context& context, const Tensor& x, const formats::Tiling& tiling) {
    TiledMatrix q = TiledMatrix::uninitialized(x.shape(), tiling);
    ops::quantize_tiles(context, x, q);
    return q;
}

class Bench {
  public:
    explicit Bench(Isa isa, int threads)
        : threads_(threads), context_{threads_, workspace_, isa}, isa_(name(isa)) {}

    void measure_all() {
        double operations = 0;
        const auto spin =
            medians({[&] { spin_bf16(context_.isa, operations); }}, CLOCK_THREAD_CPUTIME_ID);
        peak_ = operations / spin[0];
        for (const Case& shape : kCases) {
            for (const Form form : {Form::nt, Form::nn, Form::tn}) measure(shape, form);
        }
    }

  private:
    void measure(const Case& shape, Form form) {
        std::vector<ops::ProductFp8> narrow;
        std::vector<ops::Product> wide;
        for (int64_t i = 0; i < shape.products; ++i) {
            const Tensor x = noise(shape.tokens, shape.in), w = noise(shape.out, shape.in),
                         dy = noise(shape.tokens, shape.out);
            const bool nt = form == Form::nt, tn = form == Form::tn;
            const Tensor left = nt ? x : dy, right = tn ? x : w;
            const Tensor result = tn   ? Tensor::zeros(w.shape(), DType::f32)
                                  : nt ? dy.clone()
                                       : x.clone();
            const formats::Tiling tokens = tn ? formats::kColumnTiles : formats::kRowTiles;
            narrow.push_back({quantized(context_, left, tokens),
                              quantized(context_, right, tn ? tokens : formats::kBlockTiles),
                              result});
            wide.push_back({left, right, result});
        }
        const auto times = medians({[&] { run(form, narrow); }, [&] { run(form, wide); }},
                                   CLOCK_THREAD_CPUTIME_ID);
        const double operations = 2 * double(shape.products) * double(shape.tokens) *
                                  double(shape.out) * double(shape.in);
        std::printf(
            "{\"isa\":\"%s\",\"form\":\"%s\",\"case\":\"%s\",\"products\":%lld,\"tokens\":%lld,"
            "\"out\":%lld,\"in\":%lld,\"fp8_gflops\":%.0f,\"share_of_peak\":%.2f,\"bf16_gflops\":%"
            ".0f,\"fp8_over_bf16\":%.2f}\n",
            isa_.c_str(), kFormNames[int(form)], shape.name, (long long)shape.products,
            (long long)shape.tokens, (long long)shape.out, (long long)shape.in,
            operations / times[0] * 1e-9, operations / times[0] / peak_,
            operations / times[1] * 1e-9, times[1] / times[0]);
        std::fflush(stdout);
    }

    template <class List>
    void run(Form form, const List& list) {
        if (form == Form::nt) ops::matmul_nt(context_, list);
        if (form == Form::nn) ops::matmul_nn(context_, list);
        if (form == Form::tn) ops::matmul_tn_add(context_, list);
    }

    ThreadPool threads_;
    Workspace workspace_;
    Context context_;
    std::string isa_;
    double peak_ = 0;
};

int run_all(std::span<const std::string_view> arguments) {
    const auto has = [&](std::string_view word) {
        return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
    };
    for (const Isa isa : available_isas()) {
        if (arguments.empty() ? isa == Isa::portable : !has(name(isa))) continue;
        Bench(isa, 1).measure_all();
    }
    return 0;
}

}  // namespace

}  // namespace hadal::bench

int main(int count, char** values) {
    const std::vector<std::string_view> arguments(values + 1, values + count);
    return hadal::bench::run_all(arguments);
}
