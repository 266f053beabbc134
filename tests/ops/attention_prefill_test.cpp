#include "ops/attention_prefill.h"

#include "ops/attention_support.h"

namespace hadal {

namespace {

using test::normal_rows;
using test::same_bits_everywhere;
using test::same_row_bits;
using test::set_at;
using test::value_at;

struct Problem {
    ops::AttentionShape shape;
    std::vector<int64_t> starts;
    Tensor q, kv, k_pe, d_o;

    int64_t tokens() const {
        return starts.back();
    }
};

/// Rows of k_pe are a view of wider rows whose other columns are NaN, as in kv_a's output.
Problem random_problem(const ops::AttentionShape& shape, std::vector<int64_t> starts, DType dtype) {
    const int64_t tokens = starts.back(), heads = shape.heads;
    const int64_t nope = shape.qk_nope_head_dim, rope = shape.qk_rope_head_dim;
    return {.shape = shape,
            .starts = std::move(starts),
            .q = normal_rows(tokens, heads * (nope + rope), dtype, 1),
            .kv = normal_rows(tokens, heads * (nope + shape.v_head_dim), dtype, 2),
            .k_pe = normal_rows(tokens, rope, dtype, 3, 5),
            .d_o = normal_rows(tokens, heads * shape.v_head_dim, dtype, 4)};
}

ops::AttentionShape shape_of(int64_t heads, int64_t nope, int64_t rope, int64_t v) {
    return {.heads = heads,
            .qk_nope_head_dim = nope,
            .qk_rope_head_dim = rope,
            .v_head_dim = v,
            .scale = 1 / std::sqrt(double(nope + rope))};
}

struct Results {
    Tensor o, lse, d_q, d_kv, d_k_pe;
};

DType statistics_type(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

Results results_for(const Problem& p) {
    const DType dtype = p.q.dtype();
    return {.o = Tensor::zeros({p.tokens(), p.shape.heads * p.shape.v_head_dim}, dtype),
            .lse = Tensor::zeros({p.tokens(), p.shape.heads}, statistics_type(dtype)),
            .d_q = Tensor::zeros(p.q.shape(), dtype),
            .d_kv = Tensor::zeros(p.kv.shape(), dtype),
            .d_k_pe = Tensor::zeros(p.k_pe.shape(), dtype)};
}

Results run(const Problem& p, Isa isa, int threads, bool backward) {
    ThreadPool pool(threads);
    Workspace workspace;
    Context context{pool, workspace, isa};
    Results r = results_for(p);
    ops::attention_prefill(context, {p.q, p.kv, p.k_pe}, p.starts, p.shape, {r.o, r.lse});
    if (backward) {
        ops::attention_prefill_backward(context, p.d_o, {{p.q, p.kv, p.k_pe}, r.o, r.lse}, p.starts,
                                        p.shape, {r.d_q, r.d_kv, r.d_k_pe});
    }
    return r;
}

/// The same problem in double.
Problem widened(const Problem& p) {
    Problem wide = p;
    for (Tensor* x : {&wide.q, &wide.kv, &wide.k_pe, &wide.d_o}) {
        const Tensor narrow = *x;
        *x = Tensor::zeros(narrow.shape(), DType::f64);
        for (int64_t i = 0; i < x->shape()[0]; ++i) {
            for (int64_t j = 0; j < x->shape()[1]; ++j) set_at(*x, i, j, value_at(narrow, i, j));
        }
    }
    return wide;
}

/// Plain loops in double; beside each value the sum of the magnitudes it is made of, which scales
/// the tolerance.
struct Reference {
    Problem problem;
    Results value, magnitude;

    explicit Reference(const Problem& given)
        : problem(widened(given)), value(results_for(problem)), magnitude(results_for(problem)) {
        for (size_t s = 1; s < problem.starts.size(); ++s) {
            for (int64_t t = problem.starts[s - 1]; t < problem.starts[s]; ++t) {
                for (int64_t h = 0; h < problem.shape.heads; ++h) row(problem.starts[s - 1], t, h);
            }
        }
    }

  private:
    /// Row t's part of head h.
    static double* at(Tensor& x, int64_t t, int64_t column) {
        return x.data_as<double>() + t * x.row_stride() + column;
    }

    void row(int64_t first, int64_t t, int64_t h) {
        const auto& [heads, nope, rope, v_dim, scale] = problem.shape;
        const int64_t dim = nope + rope, width = nope + v_dim;
        const double* q = at(problem.q, t, h * dim);
        const double* g = at(problem.d_o, t, h * v_dim);
        double *o = at(value.o, t, h * v_dim), *o_magnitude = at(magnitude.o, t, h * v_dim);
        std::vector<double> probability;
        double maximum = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int64_t j = first; j <= t; ++j) {
            const double *k = at(problem.kv, j, h * width), *k_pe = at(problem.k_pe, j, 0);
            double score = 0;
            for (int64_t i = 0; i < dim; ++i) score += q[i] * (i < nope ? k[i] : k_pe[i - nope]);
            probability.push_back(score * scale);
            maximum = std::max(maximum, probability.back());
        }
        for (const double score : probability) sum += std::exp(score - maximum);
        for (double& score : probability) score = std::exp(score - maximum) / sum;
        set_at(value.lse, t, h, maximum + std::log(sum));
        double d = 0, d_magnitude = 0;
        for (int64_t j = first; j <= t; ++j) {
            const double* v = at(problem.kv, j, h * width + nope);
            for (int64_t i = 0; i < v_dim; ++i) {
                o[i] += probability[size_t(j - first)] * v[i];
                o_magnitude[i] += probability[size_t(j - first)] * std::abs(v[i]);
            }
        }
        for (int64_t i = 0; i < v_dim; ++i) {
            d += g[i] * o[i];
            d_magnitude += std::abs(g[i]) * o_magnitude[i];
        }
        for (int64_t j = first; j <= t; ++j) {
            pair(t, j, h, probability[size_t(j - first)], {d, d_magnitude});
        }
    }

    /// What query t and key j, met with probability p, add to the gradients.
    void pair(int64_t t, int64_t j, int64_t h, double p, std::pair<double, double> d) {
        const auto& [heads, nope, rope, v_dim, scale] = problem.shape;
        const int64_t dim = nope + rope, width = nope + v_dim;
        const double *q = at(problem.q, t, h * dim), *g = at(problem.d_o, t, h * v_dim);
        const double *k = at(problem.kv, j, h * width), *k_pe = at(problem.k_pe, j, 0),
                     *v = k + nope;
        double *d_kv = at(value.d_kv, j, h * width),
               *d_kv_magnitude = at(magnitude.d_kv, j, h * width);
        double d_p = 0, d_p_magnitude = 0;
        for (int64_t i = 0; i < v_dim; ++i) {
            d_p += g[i] * v[i];
            d_p_magnitude += std::abs(g[i] * v[i]);
            d_kv[nope + i] += p * g[i];
            d_kv_magnitude[nope + i] += p * std::abs(g[i]);
        }
        const double d_s = p * (d_p - d.first) * scale;
        const double d_s_magnitude = p * (d_p_magnitude + d.second) * scale;
        for (int64_t i = 0; i < dim; ++i) {
            const double key = i < nope ? k[i] : k_pe[i - nope];
            *at(value.d_q, t, h * dim + i) += d_s * key;
            *at(magnitude.d_q, t, h * dim + i) += d_s_magnitude * std::abs(key);
            double* d_k = i < nope ? d_kv + i : at(value.d_k_pe, j, i - nope);
            double* d_k_magnitude =
                i < nope ? d_kv_magnitude + i : at(magnitude.d_k_pe, j, i - nope);
            *d_k += d_s * q[i];
            *d_k_magnitude += d_s_magnitude * std::abs(q[i]);
        }
    }
};

/// |actual − expected| ≤ relative·magnitude, everywhere.
void check_close(const Tensor& actual, const Tensor& expected, const Tensor& magnitude,
                 double relative) {
    double worst = 0;
    for (int64_t i = 0; i < expected.shape()[0]; ++i) {
        for (int64_t j = 0; j < expected.shape()[1]; ++j) {
            const double error = std::abs(value_at(actual, i, j) - value_at(expected, i, j));
            const double ratio = error / (value_at(magnitude, i, j) + 1e-30);
            if (!(ratio <= worst)) worst = ratio;  // a NaN stays
            if (std::isnan(ratio)) break;
        }
    }
    CHECK(worst <= relative);
}

const std::vector<ops::AttentionShape> kShapes = {shape_of(1, 1, 2, 1), shape_of(3, 5, 6, 7),
                                                  shape_of(2, 32, 16, 32), shape_of(2, 24, 8, 48),
                                                  shape_of(1, 128, 64, 128)};
const std::vector<std::vector<int64_t>> kStarts = {
    {0}, {0, 0}, {0, 1}, {0, 1, 1, 8, 45}, {0, 64, 193, 193, 194}, {0, 270}};

}  // namespace

TEST_CASE("attention_prefill: agrees with plain loops in double, forward and backward") {
    // bf16: p, d_s and the results are rounded to 8 bits (2⁻⁹ each), o is used rounded for D. f32:
    // scores of magnitude up to 30 or so in 24 bits, and the exponential's 2⁻²². f64: lse is a sum
    // of few roundings.
    struct Precision {
        DType dtype;
        double forward, backward, lse;
    };
    const std::vector<Precision> precisions = {{DType::bf16, 0x1p-7, 0x1p-6, 1e-5},
                                               {DType::f32, 2e-5, 4e-5, 1e-5},
                                               {DType::f64, 1e-13, 1e-12, 1e-13}};
    for (const auto& [dtype, forward, backward, lse] : precisions) {
        for (const auto& shape : kShapes) {
            for (const auto& starts : kStarts) {
                const Problem problem = random_problem(shape, starts, dtype);
                const Reference reference(problem);
                for (const Isa isa : available_isas()) {
                    CAPTURE(name(dtype));
                    CAPTURE(shape.qk_nope_head_dim);
                    CAPTURE(starts.back());
                    CAPTURE(name(isa));
                    const Results r = run(problem, isa, 2, true);
                    check_close(r.o, reference.value.o, reference.magnitude.o, forward);
                    Tensor one = Tensor::zeros(r.lse.shape(), DType::f64);
                    for (double& value : one.values<double>()) value = 1;
                    check_close(r.lse, reference.value.lse, one, lse);
                    check_close(r.d_q, reference.value.d_q, reference.magnitude.d_q, backward);
                    check_close(r.d_kv, reference.value.d_kv, reference.magnitude.d_kv, backward);
                    check_close(r.d_k_pe, reference.value.d_k_pe, reference.magnitude.d_k_pe,
                                backward);
                }
            }
        }
    }
}

TEST_CASE("attention_prefill: bits do not depend on the number of threads") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        const Problem problem =
            random_problem(shape_of(3, 24, 8, 20), {0, 37, 38, 420, 500}, dtype);
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            const Results one = run(problem, isa, 1, true);
            for (const int threads : {2, 4}) {
                CAPTURE(threads);
                const Results many = run(problem, isa, threads, true);
                CHECK(same_bits_everywhere(one.o, many.o));
                CHECK(same_bits_everywhere(one.lse, many.lse));
                CHECK(same_bits_everywhere(one.d_q, many.d_q));
                CHECK(same_bits_everywhere(one.d_kv, many.d_kv));
                CHECK(same_bits_everywhere(one.d_k_pe, many.d_k_pe));
            }
        }
    }
}

TEST_CASE(
    "attention_prefill: a sequence's bits do not depend on the others in the batch, even if they "
    "hold NaN") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            Problem batch = random_problem(shape_of(2, 32, 16, 32), {0, 67, 300, 331}, dtype);
            for (int64_t t = 0; t < batch.tokens(); ++t) {
                if (t >= 67 && t < 300) continue;
                for (Tensor* x : {&batch.q, &batch.kv, &batch.k_pe, &batch.d_o}) {
                    for (int64_t i = 0; i < x->shape()[1]; ++i) set_at(*x, t, i, std::nan(""));
                }
            }
            Problem alone = batch;
            alone.starts = {0, 233};
            for (Tensor* x : {&alone.q, &alone.kv, &alone.k_pe, &alone.d_o}) *x = x->rows(67, 233);
            const Results together = run(batch, isa, 2, true);
            const Results single = run(alone, isa, 2, true);
            for (const auto& [a, b] :
                 {std::pair(single.o, together.o), std::pair(single.lse, together.lse),
                  std::pair(single.d_q, together.d_q), std::pair(single.d_kv, together.d_kv),
                  std::pair(single.d_k_pe, together.d_k_pe)}) {
                CHECK(same_bits_everywhere(a, b.rows(67, 233)));
                CHECK(std::isfinite(value_at(a, 232, 0)));
            }
        }
    }
}

TEST_CASE("attention_continue: the last rows of a sequence have the bits of the whole") {
    for (const DType dtype : {DType::bf16, DType::f32, DType::f64}) {
        const Problem whole = random_problem(shape_of(2, 24, 8, 20), {0, 301}, dtype);
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            const Results all = run(whole, isa, 2, false);
            for (const auto& [tokens, queries] :
                 {std::pair(301, 301), {301, 300}, {301, 1}, {257, 130}, {128, 64}, {1, 1}}) {
                CAPTURE(tokens);
                CAPTURE(queries);
                ThreadPool pool(3);
                Workspace workspace;
                Context context{pool, workspace, isa};
                Tensor o = Tensor::zeros({queries, whole.shape.heads * 20}, dtype);
                ops::attention_continue(context,
                                        {whole.q.rows(tokens - queries, queries),
                                         whole.kv.rows(0, tokens), whole.k_pe.rows(0, tokens)},
                                        whole.shape, o);
                CHECK(same_bits_everywhere(o, all.o.rows(tokens - queries, queries)));
            }
        }
    }
}

TEST_CASE("attention_continue: more queries than tokens are refused") {
    const Problem p = random_problem(shape_of(1, 4, 2, 4), {0, 5}, DType::f32);
    ThreadPool pool(1);
    Workspace workspace;
    Context context{pool, workspace, best_isa()};
    Tensor o = Tensor::zeros({5, 4}, DType::f32);
    CHECK_THROWS_AS(
        ops::attention_continue(context, {p.q, p.kv.rows(0, 4), p.k_pe.rows(0, 4)}, p.shape, o),
        Error);
}

TEST_CASE(
    "attention_prefill: a row's bits do not depend on later tokens or on the sequence's length") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            const Problem whole = random_problem(shape_of(2, 24, 8, 20), {0, 301}, dtype);
            const Results all = run(whole, isa, 2, false);
            for (const int64_t length : {1, 17, 64, 129, 256, 300}) {
                CAPTURE(length);
                Problem prefix = whole;
                prefix.starts = {0, length};
                for (Tensor* x : {&prefix.q, &prefix.kv, &prefix.k_pe, &prefix.d_o})
                    *x = x->rows(0, length);
                const Results part = run(prefix, isa, 2, false);
                CHECK(same_bits_everywhere(part.o, all.o.rows(0, length)));
                CHECK(same_bits_everywhere(part.lse, all.lse.rows(0, length)));
            }
        }
    }
}

TEST_CASE("attention_prefill: gradients are the central differences of the forward pass") {
    const std::vector<std::vector<int64_t>> batches = {{0, 1}, {0, 3, 3, 4, 11}, {0, 7}};
    for (const auto& starts : batches) {
        for (const auto& shape : {shape_of(2, 3, 2, 5), shape_of(1, 4, 6, 3)}) {
            for (const Isa isa : available_isas()) {
                Problem p = random_problem(shape, starts, DType::f64);
                const Results r = run(p, isa, 1, true);
                const auto loss = [&] {
                    const Results now = run(p, isa, 1, false);
                    double sum = 0;
                    for (int64_t t = 0; t < p.tokens(); ++t) {
                        for (int64_t i = 0; i < now.o.shape()[1]; ++i) {
                            sum += value_at(now.o, t, i) * value_at(p.d_o, t, i);
                        }
                    }
                    return sum;
                };
                const std::vector<std::pair<Tensor, Tensor>> inputs = {
                    {p.q, r.d_q}, {p.kv, r.d_kv}, {p.k_pe, r.d_k_pe}};
                double worst = 0;
                for (auto [x, d_x] : inputs) {
                    for (int64_t t = 0; t < p.tokens(); ++t) {
                        for (int64_t i = 0; i < x.shape()[1]; ++i) {
                            constexpr double kStep = 1e-5;
                            const double old = value_at(x, t, i);
                            set_at(x, t, i, old + kStep);
                            const double above = loss();
                            set_at(x, t, i, old - kStep);
                            const double below = loss();
                            set_at(x, t, i, old);
                            const double difference = (above - below) / (2 * kStep);
                            worst = std::max(worst, std::abs(difference - value_at(d_x, t, i)));
                        }
                    }
                }
                CAPTURE(name(isa));
                CHECK(worst < 1e-8);  // step² ≈ 1e-10 of truncation, 1e-16 / step of rounding
            }
        }
    }
}

TEST_CASE("attention_prefill: large scores neither overflow nor lose the largest") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            Problem p = random_problem(shape_of(1, 16, 2, 4), {0, 150}, dtype);
            p.shape.scale = 300;  // scores of thousands: softmax picks one key
            const Results r = run(p, isa, 1, true);
            const Reference reference(p);
            for (int64_t t = 0; t < p.tokens(); ++t) {
                CHECK(std::isfinite(value_at(r.o, t, 0)));
                CHECK(std::isfinite(value_at(r.d_q, t, 0)));
                CHECK(value_at(r.lse, t, 0) ==
                      doctest::Approx(value_at(reference.value.lse, t, 0)).epsilon(1e-5));
            }
        }
    }
}

TEST_CASE("attention_prefill: a second call takes no more workspace") {
    ThreadPool pool(2);
    Workspace workspace;
    Context context{pool, workspace};
    const Problem p = random_problem(shape_of(2, 16, 8, 16), {0, 100, 150}, DType::bf16);
    Results r = results_for(p);
    size_t peak = 0;
    for (int round = 0; round < 3; ++round) {
        ops::attention_prefill(context, {p.q, p.kv, p.k_pe}, p.starts, p.shape, {r.o, r.lse});
        ops::attention_prefill_backward(context, p.d_o, {{p.q, p.kv, p.k_pe}, r.o, r.lse}, p.starts,
                                        p.shape, {r.d_q, r.d_kv, r.d_k_pe});
        if (round == 0) peak = workspace.peak_bytes();
        CHECK(workspace.peak_bytes() == peak);
    }
}

TEST_CASE("attention_prefill: starts that do not cover the tokens are refused") {
    ThreadPool pool(1);
    Workspace workspace;
    Context context{pool, workspace};
    const Problem p = random_problem(shape_of(1, 4, 2, 4), {0, 10}, DType::f32);
    Results r = results_for(p);
    const std::vector<std::vector<int64_t>> wrong = {{}, {0, 9}, {1, 10}, {0, 7, 3, 10}};
    for (const auto& starts : wrong) {
        CHECK_THROWS_AS(
            ops::attention_prefill(context, {p.q, p.kv, p.k_pe}, starts, p.shape, {r.o, r.lse}),
            Error);
    }
    Tensor short_lse = Tensor::zeros({9, 1}, DType::f32);
    CHECK_THROWS_AS(
        ops::attention_prefill(context, {p.q, p.kv, p.k_pe}, p.starts, p.shape, {r.o, short_lse}),
        Error);
}

}  // namespace hadal
