// Speed of quantisation in bytes read and written, against copying memory in the same run. One JSON
// object a line: bench_quantize [isa…] [one]; medians by the clock, all taken in turns.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "formats/bfloat16.h"
#include "formats/e5m6.h"
#include "ops/quantize.h"

namespace hadal::bench {

namespace {

using formats::TiledMatrix;

constexpr int64_t kRows = 16384, kColumns = 4096;  // 128 MiB of bf16: no cache holds it

struct Work {
    const char* name;
    double bytes;
    std::function<void()> run;
};

double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void measure(Isa isa, int num_threads) {
    ThreadPool threads(num_threads);
    Workspace workspace;
    Context context{threads, workspace, isa};
    const Shape shape{kRows, kColumns};
    Tensor x = Tensor::uninitialized(shape, DType::bf16);
    for (int64_t i = 0; i < x.count(); ++i) {
        x.values<bf16>()[size_t(i)] = to_bf16(float(random_bits(1, 2, uint64_t(i)) >> 40) - 8e6f);
    }
    Tensor copy = x.clone();
    TiledMatrix rows = TiledMatrix::uninitialized(shape, formats::kRowTiles);
    TiledMatrix blocks = TiledMatrix::uninitialized(shape, formats::kBlockTiles);
    TiledMatrix columns = TiledMatrix::uninitialized(shape, formats::kColumnTiles);
    Tensor packed = Tensor::uninitialized({kRows, e5m6_row_bytes(kColumns)}, DType::u8);
    Tensor scale = Tensor::uninitialized(rows.scale.shape(), DType::f32);
    const double wide = double(x.bytes()), narrow = double(rows.codes.bytes());
    const std::vector<Work> works = {
        {"copy", 2 * wide,
         [&] {
             threads.parallel_ranges(kRows, 16, [&](int64_t begin, int64_t end, int) {
                 std::memcpy(copy.row<bf16>(begin).data(), x.row<bf16>(begin).data(),
                             size_t((end - begin) * kColumns * 2));
             });
         }},
        {"rows 1x128", wide + narrow, [&] { ops::quantize_tiles(context, x, rows); }},
        {"blocks 128x128", wide + narrow, [&] { ops::quantize_tiles(context, x, blocks); }},
        {"columns 128x1", wide + narrow, [&] { ops::quantize_tiles(context, x, columns); }},
        {"1x128 to 128x1", 2 * narrow, [&] { ops::requantize_tiles(context, rows, columns); }},
        {"dequantise 1x128", wide + narrow, [&] { ops::dequantize_tiles(context, rows, copy); }},
        {"pack E5M6", 1.75 * wide, [&] { ops::pack_e5m6(context, x, packed, scale); }},
        {"unpack E5M6", 1.75 * wide, [&] { ops::unpack_e5m6(context, packed, scale, copy); }}};
    std::vector<std::vector<double>> times(works.size());
    for (int i = 0; i < 9; ++i) {
        for (size_t j = 0; j < works.size(); ++j) times[j].push_back(seconds_of(works[j].run));
    }
    std::vector<double> rates;
    for (size_t j = 0; j < works.size(); ++j) {
        std::nth_element(times[j].begin(), times[j].begin() + 4, times[j].end());
        rates.push_back(works[j].bytes / times[j][4] * 1e-9);
        std::printf(
            "{\"isa\":\"%s\",\"threads\":%d,\"case\":\"%s\",\"gb_per_s\":%.1f,\"share_of_copy\":%."
            "2f}"
            "\n",
            std::string(name(isa)).c_str(), threads.size(), works[j].name, rates[j],
            rates[j] / rates[0]);
    }
    std::fflush(stdout);
}

}  // namespace

}  // namespace hadal::bench

int main(int count, char** values) {
    using namespace hadal;
    const std::vector<std::string_view> words(values + 1, values + count);
    const auto has = [&](std::string_view word) {
        return std::find(words.begin(), words.end(), word) != words.end();
    };
    for (const Isa isa : available_isas()) {
        if (isa == Isa::amx) continue;  // the kernels of avx512
        const bool named = words.size() > size_t(has("one"));
        if (named && !has(name(isa))) continue;
        bench::measure(isa, has("one") ? 1 : 0);
    }
    return 0;
}
