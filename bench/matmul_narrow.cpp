// Few rows of x by weights that no cache holds, as in a text being generated: GB/s of weights in
// BF16, FP8 and INT4, and of INT4 and INT8 by activations in INT8 ("w4a8", "w8a8": rows are
// quantised once a list), against a plain read of as many bytes, taken in turns. One JSON object a
// line: bench_matmul_narrow [isa…] [one]; all threads, or one, by the clock, medians. A case is a
// list of products in one fork/join, as the experts of a layer are.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "formats/bfloat16.h"
#include "matmul_peak.h"
#include "ops/matmul.h"
#include "ops/matmul_fp8.h"
#include "ops/matmul_int4.h"
#include "ops/matmul_int8.h"

namespace hadal::bench {

namespace {

struct Case {
    const char* name;
    int64_t products, out, in;
};

constexpr Case kCases[] = {
    {"v3_gate", 1, 2048, 7168}, {"m7_experts", 12, 1408, 2048}, {"s_experts", 8, 512, 1024}};
constexpr int64_t kBytes = int64_t(512) << 20;  // of each kind of weights

using Clock = std::chrono::steady_clock;

/// Median seconds of each kind of work, taken in turns.
std::vector<double> medians(const std::vector<std::function<void()>>& works, int turns) {
    std::vector<std::vector<double>> times(works.size());
    for (int turn = 0; turn <= turns; ++turn) {
        for (size_t i = 0; i < works.size(); ++i) {
            const auto begin = Clock::now();
            works[i]();
            const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
            if (turn > 0) times[i].push_back(seconds);
        }
    }
    std::vector<double> result;
    for (auto& each : times) {
        std::nth_element(each.begin(), each.begin() + turns / 2, each.end());
        result.push_back(each[size_t(turns) / 2]);
    }
    return result;
}

/// Bits that make ordinary numbers in every format, and neither zeros nor subnormals only.
void fill(Context& context, Tensor& x, uint64_t seed) {
    constexpr int64_t kPiece = 1 << 20;
    auto* words = reinterpret_cast<uint64_t*>(x.data());
    context.threads.parallel_for(x.bytes() / kPiece, [&](int64_t piece) {
        for (int64_t i = piece * kPiece / 8; i < (piece + 1) * kPiece / 8; ++i) {
            words[i] =
                (random_bits(seed, 0, uint64_t(i)) & 0xBFBFBFBFBFBFBFBFull) | 0x2020202020202020ull;
        }
    });
}

class Bench {
  public:
    Bench(Isa isa, int threads) : threads_(threads), context_{threads_, workspace_, isa} {
        fill(context_, memory_, 1);
        fill(context_, scales_, 2);
        fill(context_, int4_scales_, 3);  // memory that was never written is one page, in the cache
        for (float& scale : scales_.values<float>()) scale = 0.01f;
    }

    void measure(const Case& shape, int64_t rows) {
        Tensor x = Tensor::zeros({rows, shape.in}, DType::bf16);
        for (bf16& value : x.values<bf16>()) value = to_bf16(0.5f);
        const Tensor y = Tensor::zeros({rows, shape.out}, DType::bf16);
        const auto times = medians(
            {[&] { read_everything(); },
             [&] {
                 run(shape, 2 * shape.in * shape.out,
                     [&](int64_t at) { return ops::Product{x, view(at, shape, DType::bf16), y}; });
             },
             [&] {
                 run(shape, shape.in * shape.out,
                     [&](int64_t at) { return ops::ProductW8A16{x, fp8(at, shape), y}; });
             },
             [&] {
                 run(shape, shape.in * shape.out / 2,
                     [&](int64_t at) { return ops::ProductInt4{x, int4(at, shape), y}; });
             },
             [&] {
                 run_int8(
                     shape, x, shape.in * shape.out / 2,
                     [&](int64_t at) { return int4(at, shape); }, y);
             },
             [&] {
                 run_int8(
                     shape, x, shape.in * shape.out, [&](int64_t at) { return int8(at, shape); },
                     y);
             }},
            rows > 16 ? 3 : 9);
        const double bytes = double(kBytes);
        const double read = bytes / times[0] * 1e-9;
        // A tenth of INT4 is scales, which are read here from a memory of their own.
        const auto share_with_scales = [&](size_t i, double scales) {
            return bytes * (1 + scales) / times[i] * 1e-9 / read;
        };
        std::printf(
            "{\"isa\":\"%s\",\"threads\":%d,\"case\":\"%s\",\"rows\":%lld,\"read_gb_per_s\":%.1f,"
            "\"bf16_share\":%.3f,\"fp8_share\":%.3f,\"int4_share\":%.3f,"
            "\"w4a8_share\":%.3f,\"w8a8_share\":%.3f}\n",
            name(context_.isa).data(), threads_.size(), shape.name, (long long)rows, read,
            bytes / times[1] * 1e-9 / read, bytes / times[2] * 1e-9 / read,
            share_with_scales(3, 0.125), share_with_scales(4, 0.125), share_with_scales(5, 0.0625));
        std::fflush(stdout);
    }

  private:
    /// All of the memory as weights of `bytes` each, a list at a time.
    template <class Make>
    void run(const Case& shape, int64_t bytes, const Make& make) {
        std::vector<decltype(make(int64_t(0)))> list;
        for (int64_t at = 0; at + bytes <= kBytes; at += bytes) {
            list.push_back(make(at));
            if (int64_t(list.size()) < shape.products) continue;
            ops::matmul_nt(context_, list);
            list.clear();
        }
    }

    /// The same with rows quantised before each list.
    template <class Weight>
    void run_int8(const Case& shape, const Tensor& x, int64_t bytes, const Weight& weight,
                  const Tensor& y) {
        ops::Int8Rows rows = ops::Int8Rows::uninitialized(x.shape()[0], shape.in);
        run(shape, bytes, [&](int64_t at) {
            if (at / bytes % shape.products == 0) ops::quantize_rows_int8(context_, x, rows);
            return ops::ProductInt8{rows, weight(at), y};
        });
    }

    Tensor view(int64_t at, const Case& shape, DType type) {
        return Tensor::over(memory_.data() + at, {shape.out, shape.in}, type, nullptr);
    }
    formats::TiledMatrix fp8(int64_t at, const Case& shape) {
        const Tensor codes = view(at, shape, DType::f8_e4m3);
        return {
            codes,
            Tensor::over(scales_.data(), formats::scale_shape(codes.shape()), DType::f32, nullptr),
            formats::kBlockTiles};
    }
    formats::Int4Matrix int4(int64_t at, const Case& shape) {
        return {Tensor::over(memory_.data() + at, {shape.out, shape.in / 8}, DType::i32, nullptr),
                Tensor::over(int4_scales_.data() + at / 8, {shape.out, shape.in / 32}, DType::bf16,
                             nullptr)};
    }

    formats::Int8Matrix int8(int64_t at, const Case& shape) {
        return {Tensor::over(memory_.data() + at, {shape.out, shape.in / 4}, DType::i32, nullptr),
                Tensor::over(int4_scales_.data() + at / 16, {shape.out, shape.in / 32}, DType::bf16,
                             nullptr)};
    }

    void read_everything() {
        constexpr int64_t kPiece = int64_t(1) << 20;
        std::vector<long> sums(size_t(threads_.size()));
        threads_.parallel_ranges(kBytes / kPiece, 1, [&](int64_t begin, int64_t, int thread) {
            sums[size_t(thread)] += read_all({memory_.data() + begin * kPiece, size_t(kPiece)});
        });
        asm volatile("" ::"r"(sums.data()) : "memory");
    }

    ThreadPool threads_;
    Workspace workspace_;
    Context context_;
    Tensor memory_ = Tensor::uninitialized({kBytes}, DType::u8);
    Tensor int4_scales_ = Tensor::uninitialized({kBytes / 8}, DType::u8);
    Tensor scales_ = Tensor::uninitialized({1 << 18}, DType::f32);
};

int run_all(std::span<const std::string_view> arguments) {
    const auto has = [&](std::string_view word) {
        return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
    };
    const bool one = has("one"), many = has("512");
    const bool all = arguments.size() == size_t(one) + size_t(many);
    const std::vector<int64_t> rows =
        many ? std::vector<int64_t>{512} : std::vector<int64_t>{1, 4, 16};
    for (const Isa isa : available_isas()) {
        if (all ? isa == Isa::portable : !has(name(isa))) continue;
        Bench bench(isa, one ? 1 : 0);
        for (const Case& shape : kCases) {
            for (const int64_t each : rows) bench.measure(shape, each);
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
