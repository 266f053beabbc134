// `hadal bench fp8-accumulation`: what 14 bits of accumulation cost a product of random matrices,
// with and without promotion to FP32 (report §3.3.2).
#include <algorithm>
#include <cmath>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "core/random.h"
#include "formats/float8.h"
#include "formats/scale_tile.h"
#include "ops/fp8_accumulation.h"

namespace hadal::cli {

namespace {

/// Normal numbers in E4M3, the largest at 448.
Tensor random_codes(int64_t rows, int64_t k, uint64_t seed) {
    Tensor values = Tensor::uninitialized({rows, k}, DType::f32);
    for (int64_t i = 0; i < values.count(); ++i) {
        values.values<float>()[size_t(i)] = float(random_normal(seed, 0, uint64_t(i)));
    }
    auto q = formats::TiledMatrix::uninitialized(values.shape(), formats::kWholeTensor);
    formats::quantize_tiles(values, q);
    return q.codes;
}

struct Errors {
    double largest = 0;
    double mean = 0;
};

/// |c − exact| relative to the root mean square of the exact results: single results may be near 0.
Errors errors_of(const Tensor& c, const Tensor& exact) {
    double squares = 0, sum = 0, largest = 0;
    for (int64_t i = 0; i < c.count(); ++i) {
        const double right = exact.values<double>()[size_t(i)];
        const double error = std::abs(c.values<double>()[size_t(i)] - right);
        squares += right * right;
        sum += error;
        largest = std::max(largest, error);
    }
    const double size = std::sqrt(squares / double(c.count()));
    return {largest / size, sum / double(c.count()) / size};
}

void run_bench_fp8_accumulation(const Arguments& arguments, Report& report) {
    const int64_t rows = arguments.integer("--rows", 1, 4096);
    const int64_t promotion = arguments.integer("--promotion", 32, 1 << 20);
    ops::Accumulation accumulation{.bits = int(arguments.integer("--bits", 4, 30))};
    if (promotion % accumulation.products != 0) {
        throw Error(Error::Kind::usage, concat("--promotion must be a multiple of ",
                                               accumulation.products, ", not ", promotion));
    }
    Machine machine(arguments.globals());
    for (const int64_t k : arguments.integers("--k", 1)) {
        if (k > 65536) {
            throw Error(Error::Kind::usage, concat("--k must be at most 65536, not ", k));
        }
        const Tensor a = random_codes(rows, k, arguments.seed() + 1);
        const Tensor b = random_codes(rows, k, arguments.seed() + 2);
        Tensor exact = Tensor::zeros({rows, rows}, DType::f64), c = exact.clone();
        ops::matmul_nt_exact(machine.context(), a, b, exact);
        accumulation.promotion = 0;
        ops::matmul_nt_accumulated(machine.context(), a, b, accumulation, c);
        const Errors without = errors_of(c, exact);
        accumulation.promotion = promotion;
        ops::matmul_nt_accumulated(machine.context(), a, b, accumulation, c);
        const Errors with = errors_of(c, exact);
        report.add_row("accumulation", Record()
                                           .add("k", k)
                                           .add("largest_error", without.largest)
                                           .add("mean_error", without.mean)
                                           .add("promoted_largest_error", with.largest)
                                           .add("promoted_mean_error", with.mean));
    }
    report.add("bits", accumulation.bits);
    report.add("promotion", promotion);
    report.add("rows", rows);
}

}  // namespace

extern const Command kBenchFp8Accumulation = {
    .name = "bench fp8-accumulation",
    .group = Group::evaluation,
    .summary = "Error of FP8 products on tensor cores of 14 bits, with and without promotion",
    .example = "hadal bench fp8-accumulation --k 512,4096",
    .options = {{.name = "--k",
                 .value = "K,…",
                 .help = "inner dimensions",
                 .fallback = "512,1024,2048,4096,8192,16384"},
                {.name = "--rows",
                 .value = "N",
                 .help = "rows of both random matrices",
                 .fallback = "128"},
                {.name = "--bits", .value = "B", .help = "kept of a sum", .fallback = "14"},
                {.name = "--promotion",
                 .value = "N",
                 .help = "products between additions to float32",
                 .fallback = "128"}},
    .run = run_bench_fp8_accumulation,
};

}  // namespace hadal::cli
