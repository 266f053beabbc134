// Speed of the matrix products against what the processor can do at most, measured in the same run.
// One JSON object a line: bench_matmul [isa…]; medians of several repetitions, because the machine
// may be busy.
#include <algorithm>
#include <chrono>
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

namespace hadal::bench {

namespace {

double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Median time of one call; calls are bundled to about a millisecond and repeated for about
/// `budget` seconds.
double median_seconds(const std::function<void()>& work, double budget) {
    work();
    const double first = seconds_of(work);
    const int bundle = std::clamp(int(1e-3 / first), 1, 1000);
    const int repetitions = std::clamp(int(budget / (first * bundle)), 3, 51);
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) {
        times.push_back(seconds_of([&] {
                            for (int j = 0; j < bundle; ++j) work();
                        }) /
                        bundle);
    }
    std::nth_element(times.begin(), times.begin() + repetitions / 2, times.end());
    return times[size_t(repetitions / 2)];
}

/// Cheap values in (−1, 1): products of noise, as in a model.
Tensor noise(int64_t rows, int64_t columns, DType dtype) {
    Tensor x = Tensor::uninitialized({rows, columns}, dtype);
    for (int64_t i = 0; i < x.count(); ++i) {
        const float value = float(int32_t(random_bits(1, 2, uint64_t(i)) >> 32)) * 0x1p-31f;
        if (dtype == DType::bf16) {
            x.values<bf16>()[size_t(i)] = to_bf16(value);
        } else {
            x.values<float>()[size_t(i)] = value;
        }
    }
    return x;
}

enum class Form { nt, nn, tn };
constexpr const char* kFormNames[] = {"nt", "nn", "tn"};

struct Case {
    const char* name;
    int64_t tokens;  // of every product
    int64_t out;
    int64_t in;
    int64_t products = 1;  // experts; ragged
    bool in_memory =
        false;  // copies used in turn, more than any cache holds, as in a training step
};

/// One call's products.
struct Call {
    std::vector<ops::Product> products;
    double operations = 0;
    double bytes = 0;  // operands once, the result read and written
};

struct Peaks {
    double f32;
    double bf16;
    double read;  // bytes a second from memory
};

class Bench {
  public:
    Bench(Isa isa, ThreadPool& threads) : context_{threads, workspace_, isa}, isa_(isa) {
        peaks_.f32 = peak([&](double& operations) { spin_f32(isa_, operations); });
        peaks_.bf16 = peak([&](double& operations) { spin_bf16(isa_, operations); });
        const Tensor memory = Tensor::zeros({int64_t(512) << 20}, DType::u8);
        peaks_.read = read_bandwidth({memory.data(), size_t(memory.bytes())});
        std::printf(
            "{\"isa\":\"%s\",\"threads\":%d,\"peak_f32_gflops\":%.0f,\"peak_bf16_gflops\":%.0f,"
            "\"read_gb_per_s\":%.1f}\n",
            std::string(name(isa)).c_str(), threads.size(), peaks_.f32, peaks_.bf16,
            peaks_.read * 1e-9);
    }

    void measure(const Case& shape, Form form, DType dtype) {
        std::vector<Call> calls{call_of(shape, form, dtype)};
        const double operations = calls[0].operations, bytes = calls[0].bytes;
        constexpr double kNoCache = 768 << 20;
        while (shape.in_memory && bytes * double(calls.size()) < kNoCache) {
            calls.push_back(call_of(shape, form, dtype));
        }
        const double seconds =
            calls.size() == 1
                ? median_seconds([&] { run(form, calls[0].products); }, 0.08)
                : seconds_per_copy([&](int64_t i) { run(form, calls[size_t(i)].products); },
                                   int64_t(calls.size()));
        const double peak = dtype == DType::bf16 ? peaks_.bf16 : peaks_.f32;
        const double gflops = operations / seconds * 1e-9;
        // Where operands come from memory, not from a cache, this is all that the machine can do.
        const double bound = std::max(operations / (peak * 1e9), bytes / peaks_.read);
        std::printf(
            "{\"isa\":\"%s\",\"form\":\"%s\",\"dtype\":\"%s\",\"case\":\"%s%s\",\"products\":%lld,"
            "\"tokens\":%lld,\"out\":%lld,\"in\":%lld,\"us\":%.1f,\"gflops\":%.0f,\"share_of_"
            "peak\":%.2f,"
            "\"share_of_roof\":%.2f}\n",
            std::string(name(isa_)).c_str(), kFormNames[int(form)],
            std::string(name(dtype)).c_str(), shape.name, shape.in_memory ? " in memory" : "",
            (long long)shape.products, (long long)shape.tokens, (long long)shape.out,
            (long long)shape.in, seconds * 1e6, gflops, gflops / peak, bound / seconds);
        std::fflush(stdout);
    }

    /// Few rows against weights that no cache holds: several copies are used in turn.
    void measure_decode(int64_t out, int64_t in, DType dtype) {
        constexpr int64_t kBytes = int64_t(768) << 20;
        const int64_t copies = kBytes / (out * in * size_of(dtype));
        const Tensor all = noise(copies * out, in, dtype);
        const double read = read_bandwidth({all.data(), size_t(all.bytes())});
        for (const int64_t rows : {1, 2, 4, 8}) {
            Tensor x = noise(rows, in, dtype), y = noise(rows, out, dtype);
            const double seconds = seconds_per_copy(
                [&](int64_t copy) { ops::matmul_nt(context_, x, all.rows(copy * out, out), y); },
                copies);
            const double rate = double(all.bytes()) / double(copies) / seconds;
            std::printf(
                "{\"isa\":\"%s\",\"form\":\"nt\",\"dtype\":\"%s\",\"case\":\"decode\",\"rows\":%"
                "lld,\"out\":%lld,"
                "\"in\":%lld,\"us\":%.1f,\"gb_per_s\":%.1f,\"read_gb_per_s\":%.1f,\"share\":%.2f}"
                "\n",
                std::string(name(isa_)).c_str(), std::string(name(dtype)).c_str(), (long long)rows,
                (long long)out, (long long)in, seconds * 1e6, rate * 1e-9, read * 1e-9,
                rate / read);
            std::fflush(stdout);
        }
    }

  private:
    static Call call_of(const Case& shape, Form form, DType dtype) {
        Call call;
        for (int64_t i = 0; i < shape.products; ++i) {
            // Ragged: 1/2 … 3/2 of the mean.
            const int64_t tokens = shape.products == 1
                                       ? shape.tokens
                                       : shape.tokens / 2 + int64_t(random_bits(3, 4, uint64_t(i)) %
                                                                    uint64_t(shape.tokens));
            call.operations += 2 * double(tokens) * double(shape.out) * double(shape.in);
            Tensor x = noise(tokens, shape.in, dtype), w = noise(shape.out, shape.in, dtype),
                   y = noise(tokens, shape.out, dtype);
            const double out_bytes = form == Form::tn
                                         ? 8 * double(w.count())
                                         : 2 * double(form == Form::nt ? y.bytes() : x.bytes());
            const double in_bytes = double(form == Form::tn   ? x.bytes() + y.bytes()
                                           : form == Form::nt ? x.bytes() + w.bytes()
                                                              : y.bytes() + w.bytes());
            call.bytes += in_bytes + out_bytes;
            if (form == Form::nt) call.products.push_back({x, w, y});
            if (form == Form::nn) call.products.push_back({y, w, x});
            if (form == Form::tn) {
                call.products.push_back({y, x, noise(shape.out, shape.in, DType::f32)});
            }
        }
        return call;
    }

    double seconds_per_copy(const std::function<void(int64_t)>& work, int64_t copies) {
        return median_seconds(
                   [&] {
                       for (int64_t i = 0; i < copies; ++i) work(i);
                   },
                   0.5) /
               double(copies);
    }

    double peak(const std::function<void(double&)>& spin) {
        double operations = 0;
        const double seconds = median_seconds(
            [&] {
                context_.threads.parallel_for(context_.threads.size(), [&](int64_t) {
                    double mine = 0;
                    spin(mine);
                    if (mine > 0) operations = mine * context_.threads.size();
                });
            },
            0.1);
        return operations / seconds * 1e-9;
    }

    double read_bandwidth(std::span<const std::byte> bytes) {
        constexpr int64_t kPiece = int64_t(1) << 20;
        std::vector<long> sums(size_t(context_.threads.size()));
        const double seconds = median_seconds(
            [&] {
                context_.threads.parallel_ranges(
                    int64_t(bytes.size()) / kPiece, 1, [&](int64_t begin, int64_t, int thread) {
                        sums[size_t(thread)] +=
                            read_all(bytes.subspan(size_t(begin * kPiece), size_t(kPiece)));
                    });
            },
            0.5);
        asm volatile("" ::"r"(sums.data()) : "memory");
        return double(bytes.size()) / seconds;
    }

    void run(Form form, std::vector<ops::Product>& products) {
        if (form == Form::nt) ops::matmul_nt(context_, products);
        if (form == Form::nn) ops::matmul_nn(context_, products);
        if (form == Form::tn) ops::matmul_tn_add(context_, products);
    }

    Workspace workspace_;
    Context context_;
    Isa isa_;
    Peaks peaks_{};
};

// Linear layers of the two configurations that training is measured on, at 4096 and 1024 tokens.
constexpr Case kCases[] = {
    {"cube", 4096, 4096, 4096},
    {"cube", 1024, 1024, 1024},
    {"demo_q_b", 4096, 384, 128},
    {"demo_o", 4096, 256, 256},
    {"demo_o", 1024, 256, 256},
    {"demo_dense_up", 4096, 704, 256},
    {"demo_experts_up", 512, 128, 256, 32},
    {"demo_experts_down", 512, 256, 128, 32},
    {"demo_experts_up", 128, 128, 256, 32},
    {"demo_head", 1024, 4096, 256},
    {"wide_q_b", 4096, 768, 256},
    {"wide_o", 4096, 512, 512},
    {"wide_o", 1024, 512, 512},
    {"wide_dense_up", 4096, 1408, 512},
    {"wide_experts_up", 384, 256, 512, 64},
    {"wide_experts_up", 96, 256, 512, 64},
    {"wide_experts_down", 384, 512, 256, 64},
    {"wide_head", 1024, 4096, 512},
    {"wide_kv_b", 4096, 1024, 128, 1, true},
    {"wide_experts_up", 384, 256, 512, 64, true},
    {"wide_experts_down", 384, 512, 256, 64, true},
};

int run_all(std::span<const std::string_view> arguments) {
    ThreadPool threads;
    for (const Isa isa : available_isas()) {
        const bool chosen =
            std::find(arguments.begin(), arguments.end(), name(isa)) != arguments.end();
        if (arguments.empty() ? isa == Isa::portable : !chosen) continue;
        Bench bench(isa, threads);
        for (const DType dtype : {DType::bf16, DType::f32}) {
            if (isa == Isa::amx && dtype == DType::f32) continue;  // the same kernels as avx512
            for (const Case& shape : kCases) {
                // A slow set would take seconds for the large cube.
                if (shape.out == 4096 && shape.in == 4096 && isa < Isa::avx512) continue;
                for (const Form form : {Form::nt, Form::nn, Form::tn})
                    bench.measure(shape, form, dtype);
            }
            bench.measure_decode(2048, 7168, dtype);
            bench.measure_decode(256, 256, dtype);
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
