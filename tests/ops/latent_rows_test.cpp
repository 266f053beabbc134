#include "ops/latent_rows.h"

#include <algorithm>

#include "formats/float8.h"
#include "ops/attention_latent.h"
#include "ops/attention_support.h"

namespace hadal {

namespace {

using test::normal_rows;
using test::same_bits_everywhere;
using test::same_row_bits;
using test::set_at;
using test::value_at;

Tensor places_of(const std::vector<int32_t>& places) {
    Tensor tensor = Tensor::zeros({int64_t(places.size())}, DType::i32);
    std::ranges::copy(places, tensor.values<int32_t>().begin());
    return tensor;
}

struct Machine {
    explicit Machine(Isa isa, int threads = 2) : pool(threads), context{pool, workspace, isa} {}
    ThreadPool pool;
    Workspace workspace;
    Context context;
};

}  // namespace

TEST_CASE("latent_rows: what is read back is E4M3 of a power of two per row, k_pe untouched") {
    constexpr int64_t kTokens = 70, kRank = 37, kRope = 6;
    for (const Isa isa : available_isas()) {
        CAPTURE(name(isa));
        Machine machine(isa);
        Tensor c = normal_rows(kTokens, kRank, DType::bf16, 1, 3);
        for (int64_t i = 0; i < kRank; ++i) set_at(c, 5, i, 0);                     // zeros
        for (int64_t i = 0; i < kRank; ++i) set_at(c, 6, i, 1e-6 * double(i + 1));  // small
        const Tensor k_pe = normal_rows(kTokens, kRope, DType::bf16, 2, 1);
        std::vector<int32_t> places;
        for (int32_t t = 0; t < kTokens; ++t) places.push_back(kTokens - 1 - t);
        Tensor cache = Tensor::zeros({kTokens + 2, ops::latent_row_bytes(kRank, kRope)}, DType::u8);
        ops::write_latent_rows(machine.context, c, k_pe, places_of(places), cache);
        Tensor latents = Tensor::zeros({kTokens, kRank + kRope}, DType::bf16);
        ops::read_latent_rows(machine.context, cache, places_of(places), kRank, latents);
        for (int64_t t = 0; t < kTokens; ++t) {
            double amax = 0;
            for (int64_t i = 0; i < kRank; ++i) amax = std::max(amax, std::abs(value_at(c, t, i)));
            const double scale = amax == 0 ? 1 : std::exp2(std::ceil(std::log2(amax / 448)));
            bool same = true;
            for (int64_t i = 0; i < kRank; ++i) {
                const float code = to_float(to_f8_e4m3(float(value_at(c, t, i) / scale)));
                same = same && value_at(latents, t, i) == double(code) * scale;
            }
            for (int64_t i = 0; i < kRope; ++i) {
                same = same && value_at(latents, t, kRank + i) == value_at(k_pe, t, i);
            }
            CAPTURE(t);
            CHECK(same);
        }
    }
}

TEST_CASE("latent_rows: a place below 0 writes nothing, one beyond the cache is refused") {
    Machine machine(best_isa());
    const Tensor c = normal_rows(2, 4, DType::bf16, 1), k_pe = normal_rows(2, 2, DType::bf16, 2);
    Tensor cache = Tensor::zeros({2, ops::latent_row_bytes(4, 2)}, DType::u8);
    ops::write_latent_rows(machine.context, c, k_pe, places_of({-1, 0}), cache);
    CHECK(std::ranges::all_of(cache.row<uint8_t>(1), [](uint8_t byte) { return byte == 0; }));
    CHECK_FALSE(std::ranges::all_of(cache.row<uint8_t>(0), [](uint8_t byte) { return byte == 0; }));
    CHECK_THROWS_AS(ops::write_latent_rows(machine.context, c, k_pe, places_of({2, 0}), cache),
                    Error);
}

TEST_CASE("latent_rows: attention over codes has the bits of attention over their values") {
    constexpr int64_t kLength = 700, kPages = 12;
    struct Sizes {
        int64_t heads, rank, rope;
    };
    for (const auto& [heads, rank, rope] : {Sizes{3, 18, 6}, {8, 32, 32}, {12, 64, 32}}) {
        for (const Isa isa : available_isas()) {
            for (const int64_t shift : {0, 1}) {
                CAPTURE(name(isa));
                CAPTURE(heads);
                CAPTURE(shift);
                Machine machine(isa, 3);
                const int64_t rows = kPages * ops::kLatentPageRows;
                const Tensor c = normal_rows(rows, rank, DType::bf16, 1);
                const Tensor k_pe = normal_rows(rows, rope, DType::bf16, 2);
                std::vector<int32_t> places;
                for (int32_t t = 0; t < rows; ++t) places.push_back(t);
                Tensor codes = Tensor::zeros({rows, ops::latent_row_bytes(rank, rope)}, DType::u8);
                ops::write_latent_rows(machine.context, c, k_pe, places_of(places), codes);
                Tensor values = Tensor::zeros({rows, rank + rope}, DType::bf16);
                ops::read_latent_rows(machine.context, codes, places_of(places), rank, values);
                const std::vector<int32_t> pages = {3, 4, 5, 0, 11, 1, 2, 9, 8, 7, 6, 10};
                for (const int64_t queries : {1, 30}) {
                    const Tensor q = normal_rows(queries, heads * rank, DType::bf16, 3);
                    const Tensor q_pe = normal_rows(queries, heads * rope, DType::bf16, 4);
                    const ops::LatentSequence sequence = {pages, kLength, 0, queries};
                    const auto attend = [&](const Tensor& cache) {
                        Tensor u = Tensor::zeros({queries, heads * rank}, DType::bf16);
                        ops::attention_latent(machine.context, q, q_pe, {cache, shift},
                                              std::span(&sequence, 1), 0.3, u);
                        return u;
                    };
                    CHECK(same_bits_everywhere(attend(codes), attend(values)));
                }
            }
        }
    }
}

}  // namespace hadal
