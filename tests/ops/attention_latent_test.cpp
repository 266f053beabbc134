#include "ops/attention_latent.h"

#include <algorithm>

#include "core/random.h"
#include "ops/attention_prefill.h"
#include "ops/attention_support.h"

namespace hadal {

namespace {

using test::normal_rows;
using test::same_bits_everywhere;
using test::same_row_bits;
using test::set_at;
using test::value_at;

struct Sizes {
    int64_t heads, rank, rope;
};

/// Sequences of (length, query_count), whose pages lie shuffled in one cache; every row that no
/// sequence holds is NaN.
struct Problem {
    Sizes sizes;
    double scale;
    Tensor q_latent, q_pe;
    ops::LatentPages cache;
    std::vector<std::vector<int32_t>> pages;
    std::vector<ops::LatentSequence> sequences;
};

enum class Order { shuffled, adjacent };

/// Gives every sequence its pages, and its rows the same values wherever they lie.
void fill_cache(Problem& p, const std::vector<std::pair<int64_t, int64_t>>& sequences, DType dtype,
                Order order) {
    constexpr int64_t kPage = ops::kLatentPageRows;
    const int64_t columns = p.sizes.rank + p.sizes.rope, shift = p.cache.shift;
    std::vector<int32_t> free_pages;
    for (const auto& [length, queries] : sequences) {
        const int64_t pages = (length + shift + kPage - 1) / kPage;
        p.pages.emplace_back(size_t(pages));
        for (int64_t i = 0; i < pages; ++i) free_pages.push_back(int32_t(free_pages.size()));
    }
    if (order == Order::shuffled) {
        RandomSequence random(5);
        for (size_t i = free_pages.size(); i > 1; --i) {
            std::swap(free_pages[i - 1], free_pages[random.below(i)]);
        }
    } else {
        std::ranges::reverse(free_pages);  // taken from the end
    }
    p.cache.rows = Tensor::zeros({int64_t(free_pages.size()) * kPage, columns}, dtype);
    for (int64_t row = 0; row < p.cache.rows.shape()[0]; ++row) {
        for (int64_t i = 0; i < columns; ++i) set_at(p.cache.rows, row, i, std::nan(""));
    }
    int64_t tokens = 0;
    for (size_t s = 0; s < sequences.size(); ++s) {
        const auto& [length, queries] = sequences[s];
        for (int32_t& page : p.pages[s]) {
            page = free_pages.back();
            free_pages.pop_back();
        }
        const Tensor rows = normal_rows(length, columns, dtype, 10 + s, 2);
        for (int64_t j = 0; j < length; ++j) {
            for (int64_t i = 0; i < columns; ++i) {
                set_at(p.cache.rows, p.cache.row_of(p.pages[s], j), i, value_at(rows, j, i));
            }
        }
        p.sequences.push_back({p.pages[s], length, tokens, queries});
        tokens += queries;
    }
}

Problem random_problem(const Sizes& sizes,
                       const std::vector<std::pair<int64_t, int64_t>>& sequences, DType dtype,
                       int64_t shift = 0, Order order = Order::shuffled) {
    Problem p = {.sizes = sizes,
                 .scale = 1 / std::sqrt(double(sizes.rank + sizes.rope)),
                 .q_latent = {},
                 .q_pe = {},
                 .cache = {.rows = {}, .shift = shift},
                 .pages = {},
                 .sequences = {}};
    fill_cache(p, sequences, dtype, order);
    int64_t tokens = 0;
    for (const auto& [length, queries] : sequences) tokens += queries;
    p.q_latent = normal_rows(tokens, sizes.heads * sizes.rank, dtype, 1);
    p.q_pe = normal_rows(tokens, sizes.heads * sizes.rope, dtype, 2);
    return p;
}

Tensor run(const Problem& p, Isa isa, int threads = 1) {
    ThreadPool pool(threads);
    Workspace workspace;
    Context context{pool, workspace, isa};
    Tensor u = Tensor::zeros(p.q_latent.shape(), p.q_latent.dtype());
    ops::attention_latent(context, p.q_latent, p.q_pe, p.cache, p.sequences, p.scale, u);
    return u;
}

/// The largest |u − expected| / Σ p·|c| over a row, expected by plain loops in double.
double worst_error(const Problem& p, const Tensor& u) {
    const auto& [heads, rank, rope] = p.sizes;
    double worst = 0;
    for (const ops::LatentSequence& s : p.sequences) {
        const int64_t length = s.length;
        const auto key = [&](int64_t j, int64_t c) {
            return value_at(p.cache.rows, p.cache.row_of(s.pages, j), c);
        };
        for (int64_t i = 0; i < s.query_count; ++i) {
            const int64_t t = s.first_query + i, keys = length - s.query_count + i + 1;
            for (int64_t h = 0; h < heads; ++h) {
                std::vector<double> scores(static_cast<size_t>(keys));
                double maximum = -std::numeric_limits<double>::infinity(), total = 0;
                for (int64_t j = 0; j < keys; ++j) {
                    double score = 0;
                    for (int64_t c = 0; c < rank; ++c) {
                        score += value_at(p.q_latent, t, h * rank + c) * key(j, c);
                    }
                    for (int64_t c = 0; c < rope; ++c) {
                        score += value_at(p.q_pe, t, h * rope + c) * key(j, rank + c);
                    }
                    scores[size_t(j)] = score * p.scale;
                    maximum = std::max(maximum, scores[size_t(j)]);
                }
                for (double& score : scores) total += score = std::exp(score - maximum);
                for (int64_t c = 0; c < rank; ++c) {
                    double sum = 0, magnitude = 0;
                    for (int64_t j = 0; j < keys; ++j) {
                        sum += scores[size_t(j)] / total * key(j, c);
                        magnitude += scores[size_t(j)] / total * std::abs(key(j, c));
                    }
                    const double ratio = std::abs(value_at(u, t, h * rank + c) - sum) / magnitude;
                    if (!(ratio <= worst)) worst = ratio;
                    if (std::isnan(ratio)) return ratio;
                }
            }
        }
    }
    return worst;
}

}  // namespace

TEST_CASE("attention_latent: agrees with plain loops in double") {
    // bf16: p and u rounded (2⁻⁹ each). f32: scores up to 30 in 24 bits.
    const std::vector<std::pair<DType, double>> precisions = {
        {DType::bf16, 0x1p-7}, {DType::f32, 2e-5}, {DType::f64, 1e-12}};
    const std::vector<std::vector<std::pair<int64_t, int64_t>>> batches = {
        {{1, 1}},
        {{0, 0}, {5, 5}, {7, 0}, {37, 1}},
        {{130, 3}, {128, 1}, {129, 40}},
        {{1024, 1}, {1025, 2}, {1537, 1}, {2060, 1}}};  // where short splits end and long ones
    for (const auto& [dtype, bound] : precisions) {
        for (const Sizes& sizes :
             {Sizes{1, 3, 2}, Sizes{5, 24, 6}, Sizes{16, 32, 16}, Sizes{3, 96, 32}}) {
            for (const auto& batch : batches) {
                const Problem p = random_problem(sizes, batch, dtype);
                for (const Isa isa : available_isas()) {
                    CAPTURE(name(dtype));
                    CAPTURE(name(isa));
                    CAPTURE(sizes.heads);
                    CAPTURE(batch[0].first);
                    CHECK(worst_error(p, run(p, isa)) <= bound);
                }
            }
        }
    }
}

TEST_CASE("attention_latent: bits depend neither on threads nor on the other sequences") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            const Problem batch =
                random_problem({8, 32, 16}, {{300, 3}, {2500, 1}, {40, 40}, {1100, 17}}, dtype);
            const Tensor one = run(batch, isa, 1);
            CHECK(same_bits_everywhere(one, run(batch, isa, 2)));
            CHECK(same_bits_everywhere(one, run(batch, isa, 4)));
            for (const ops::LatentSequence& s : batch.sequences) {
                Problem alone = batch;
                alone.sequences = {s};
                const Tensor u = run(alone, isa, 4);
                CHECK(same_bits_everywhere(u.rows(s.first_query, s.query_count),
                                           one.rows(s.first_query, s.query_count)));
            }
        }
    }
}

TEST_CASE("attention_latent: a prompt cut into any chunks gives the bits of token by token") {
    constexpr int64_t kLength = 1200;
    // The last two are wide enough to be read where they lie; single tokens of few heads meet them
    // by key there, chunks by row.
    const std::vector<std::pair<DType, Sizes>> kinds = {{DType::bf16, {3, 16, 8}},
                                                        {DType::f32, {3, 16, 8}},
                                                        {DType::bf16, {8, 32, 32}},
                                                        {DType::bf16, {12, 64, 32}}};
    for (const auto& [dtype, sizes] : kinds) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            CAPTURE(sizes.heads);
            const Problem whole = random_problem(sizes, {{kLength, kLength}}, dtype);
            const Tensor at_once = run(whole, isa, 2);
            for (const int64_t chunk : {1, 7, 64, 129, 1024}) {
                CAPTURE(chunk);
                bool same = true;
                const int64_t step =
                    chunk == 1 ? 97 : chunk;  // single tokens: a sample of positions
                for (int64_t begin = 0; begin < kLength; begin += step) {
                    const int64_t count = std::min(chunk, kLength - begin);
                    Problem part = whole;
                    part.sequences = {{whole.pages[0], begin + count, begin, count}};
                    const Tensor u = run(part, isa, 2);
                    same = same &&
                           same_bits_everywhere(u.rows(begin, count), at_once.rows(begin, count));
                }
                CHECK(same);
            }
        }
    }
}

TEST_CASE("attention_latent: the absorbed form equals the expanded form") {
    // v3-facts: q_nope·(W_UK c) = (W_UKᵀ q_nope)·c and Σ p (W_UV c) = W_UV Σ p c, for random W_UK
    // and W_UV.
    constexpr int64_t kTokens = 150, kHeads = 3, kNope = 5, kRope = 4, kV = 6, kRank = 7;
    const Tensor w_uk = normal_rows(kHeads * kNope, kRank, DType::f64, 5);
    const Tensor w_uv = normal_rows(kHeads * kV, kRank, DType::f64, 6);
    const Tensor q = normal_rows(kTokens, kHeads * (kNope + kRope), DType::f64, 1);
    const Tensor latents = normal_rows(kTokens, kRank + kRope, DType::f64, 2);
    Tensor kv = Tensor::zeros({kTokens, kHeads * (kNope + kV)}, DType::f64);
    Tensor q_latent = Tensor::zeros({kTokens, kHeads * kRank}, DType::f64);
    Tensor q_pe = Tensor::zeros({kTokens, kHeads * kRope}, DType::f64);
    for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t h = 0; h < kHeads; ++h) {
            for (int64_t i = 0; i < kNope + kV; ++i) {
                double sum = 0;
                for (int64_t c = 0; c < kRank; ++c) {
                    const double w = i < kNope ? value_at(w_uk, h * kNope + i, c)
                                               : value_at(w_uv, h * kV + i - kNope, c);
                    sum += w * value_at(latents, t, c);
                }
                set_at(kv, t, h * (kNope + kV) + i, sum);
            }
            for (int64_t c = 0; c < kRank; ++c) {
                double sum = 0;
                for (int64_t i = 0; i < kNope; ++i) {
                    sum +=
                        value_at(q, t, h * (kNope + kRope) + i) * value_at(w_uk, h * kNope + i, c);
                }
                set_at(q_latent, t, h * kRank + c, sum);
            }
            for (int64_t i = 0; i < kRope; ++i) {
                set_at(q_pe, t, h * kRope + i, value_at(q, t, h * (kNope + kRope) + kNope + i));
            }
        }
    }
    const ops::AttentionShape shape = {.heads = kHeads,
                                       .qk_nope_head_dim = kNope,
                                       .qk_rope_head_dim = kRope,
                                       .v_head_dim = kV,
                                       .scale = 0.3};
    for (const Isa isa : available_isas()) {
        CAPTURE(name(isa));
        ThreadPool pool(1);
        Workspace workspace;
        Context context{pool, workspace, isa};
        Tensor o = Tensor::zeros({kTokens, kHeads * kV}, DType::f64);
        Tensor lse = Tensor::zeros({kTokens, kHeads}, DType::f64);
        const std::vector<int64_t> starts = {0, kTokens};
        ops::attention_prefill(context, {q, kv, latents.columns(kRank, kRope)}, starts, shape,
                               {o, lse});
        Tensor u = Tensor::zeros(q_latent.shape(), DType::f64);
        ops::LatentPages cache = {Tensor::zeros({192, kRank + kRope}, DType::f64)};
        cache.rows.rows(0, kTokens).copy_from(latents);
        const std::vector<int32_t> pages = {0, 1, 2};
        const std::vector<ops::LatentSequence> sequences = {{pages, kTokens, 0, kTokens}};
        ops::attention_latent(context, q_latent, q_pe, cache, sequences, shape.scale, u);
        double worst = 0;
        for (int64_t t = 0; t < kTokens; ++t) {
            for (int64_t i = 0; i < kHeads * kV; ++i) {
                double sum = 0;
                for (int64_t c = 0; c < kRank; ++c) {
                    sum += value_at(u, t, i / kV * kRank + c) * value_at(w_uv, i, c);
                }
                worst = std::max(worst, std::abs(sum - value_at(o, t, i)));
            }
        }
        CHECK(worst < 1e-12);
    }
}

TEST_CASE("attention_latent: a second call takes no more workspace") {
    ThreadPool pool(4);
    Workspace workspace;
    Context context{pool, workspace};
    const Problem p = random_problem({8, 32, 16}, {{2500, 1}, {40, 40}}, DType::bf16);
    Tensor u = Tensor::zeros(p.q_latent.shape(), DType::bf16);
    size_t peak = 0;
    for (int round = 0; round < 3; ++round) {
        ops::attention_latent(context, p.q_latent, p.q_pe, p.cache, p.sequences, p.scale, u);
        if (round == 0) peak = workspace.peak_bytes();
        CHECK(workspace.peak_bytes() == peak);
    }
}

TEST_CASE("attention_latent: shapes that contradict each other are refused") {
    const Problem good = random_problem({2, 4, 2}, {{10, 3}}, DType::f32);
    Problem more_queries_than_rows = good;
    more_queries_than_rows.sequences[0].length = 2;
    CHECK_THROWS_AS(run(more_queries_than_rows, Isa::portable), Error);
    Problem beyond_the_tokens = good;
    beyond_the_tokens.sequences[0].first_query = 1;
    CHECK_THROWS_AS(run(beyond_the_tokens, Isa::portable), Error);
    Problem narrow_cache = good;
    narrow_cache.cache.rows = good.cache.rows.columns(0, 5);
    CHECK_THROWS_AS(run(narrow_cache, Isa::portable), Error);
    Problem too_few_pages = good;
    too_few_pages.sequences[0].length = 65;
    CHECK_THROWS_AS(run(too_few_pages, Isa::portable), Error);
    Problem page_outside_the_cache = good;
    page_outside_the_cache.pages[0][0] = 1;
    page_outside_the_cache.sequences[0].pages = page_outside_the_cache.pages[0];
    CHECK_THROWS_AS(run(page_outside_the_cache, Isa::portable), Error);
}

TEST_CASE(
    "attention_latent: bits do not depend on where the pages lie, nor on the slot of position 0") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            for (const Sizes& sizes : {Sizes{8, 32, 16}, Sizes{4, 64, 64}}) {
                const std::vector<std::pair<int64_t, int64_t>> batch = {
                    {300, 3}, {64, 64}, {1100, 17}, {192, 1}};
                const Tensor u =
                    run(random_problem(sizes, batch, dtype, 0, Order::adjacent), isa, 2);
                CHECK(same_bits_everywhere(u, run(random_problem(sizes, batch, dtype), isa, 2)));
                CHECK(same_bits_everywhere(u, run(random_problem(sizes, batch, dtype, 1), isa, 2)));
                CHECK(same_bits_everywhere(
                    u, run(random_problem(sizes, batch, dtype, 1, Order::adjacent), isa, 2)));
            }
        }
    }
}

}  // namespace hadal
