#include "ops/gate_topk.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "ops/support.h"

namespace hadal {

namespace {

using ops::GateOptions;
using test::value_at;

struct Choice {
    Tensor scores;
    Tensor ids;
    Tensor weights;
};
Choice gate(Context& context, const Tensor& logits, const Tensor& bias,
            const GateOptions& options) {
    const int64_t tokens = logits.shape()[0];
    Choice out{Tensor::zeros(logits.shape(), logits.dtype()),
               Tensor::zeros({tokens, options.top_k}, DType::i32),
               Tensor::zeros({tokens, options.top_k}, logits.dtype())};
    ops::gate_topk(context, logits, bias, options, out.scores, out.ids, out.weights);
    return out;
}

Tensor row_of(const std::vector<double>& values, DType dtype = DType::f32) {
    return test::filled({1, int64_t(values.size())}, dtype,
                        [&](int64_t i) { return values[size_t(i)]; });
}
Tensor bias_of(const std::vector<double>& values) {
    return row_of(values).reshaped({int64_t(values.size())});
}

std::vector<int> ids_of(const Choice& choice, int64_t t = 0) {
    const auto row = choice.ids.row<int32_t>(t);
    return {row.begin(), row.end()};
}

std::vector<double> scores_of(const Tensor& logits, int64_t t, GateOptions::Scoring scoring) {
    const int64_t experts = logits.shape()[1];
    std::vector<double> scores;
    double sum = 0;
    for (int64_t e = 0; e < experts; ++e) {
        const double logit = value_at(logits, t * experts + e);
        const bool sigmoid = scoring == GateOptions::Scoring::sigmoid;
        scores.push_back(sigmoid ? 1 / (1 + std::exp(-logit)) : std::exp(logit));
        sum += std::exp(logit);
    }
    if (scoring == GateOptions::Scoring::softmax) {
        for (double& s : scores) s /= sum;
    }
    return scores;
}

/// The best `count` indices by value, by sorting everything; the lower index wins a tie.
std::vector<int> best(const std::vector<double>& values, int64_t count) {
    std::vector<int> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return values[size_t(a)] > values[size_t(b)]; });
    order.resize(size_t(count));
    std::sort(order.begin(), order.end());
    return order;
}

/// The choice by its definition: mark the groups, put −∞ elsewhere, sort. `choices` are scores +
/// bias.
std::vector<int> chosen(std::vector<double> choices, const GateOptions& o) {
    const size_t size = choices.size() / size_t(o.n_group);
    std::vector<double> group_scores;
    for (size_t g = 0; g < size_t(o.n_group); ++g) {
        std::vector<double> group(choices.begin() + int64_t(g * size),
                                  choices.begin() + int64_t((g + 1) * size));
        std::sort(group.rbegin(), group.rend());
        const bool two = o.group_score == GateOptions::GroupScore::sum_of_top_two && size > 1;
        group_scores.push_back(two ? group[0] + group[1] : group[0]);
    }
    const std::vector<int> groups = best(group_scores, o.topk_group);
    for (size_t e = 0; e < choices.size(); ++e) {
        if (!std::binary_search(groups.begin(), groups.end(), int(e / size))) {
            choices[e] = -std::numeric_limits<double>::infinity();
        }
    }
    return best(choices, o.top_k);
}

struct Model {
    int64_t experts;
    GateOptions options;
};
const Model kModels[] = {
    {256, {.n_group = 8, .topk_group = 4, .top_k = 8, .routed_scaling_factor = 2.5}},  // V3
    {160,
     {.scoring = GateOptions::Scoring::softmax,  // V2
      .group_score = GateOptions::GroupScore::maximum,
      .n_group = 8,
      .topk_group = 3,
      .top_k = 6,
      .norm_topk_prob = false,
      .routed_scaling_factor = 16}},
    {64, {.scoring = GateOptions::Scoring::softmax, .top_k = 6, .norm_topk_prob = false}},
    {7, {.top_k = 3}},
    {9, {.scoring = GateOptions::Scoring::softmax, .n_group = 3, .topk_group = 2, .top_k = 4}},
    {6, {.n_group = 6, .topk_group = 3, .top_k = 2, .norm_topk_prob = false}},
    {1, {}},
};

}  // namespace

TEST_CASE("gate: scores, choice and weights follow their definition for every model's options") {
    test::for_each_isa([](Context& context) {
        for (const Model& model : kModels) {
            for (const DType dtype : {DType::f32, DType::f64}) {
                for (const bool biased : {false, true}) {
                    CAPTURE(model.experts);
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(biased);
                    constexpr int64_t kTokens = 29;
                    const GateOptions& o = model.options;
                    const Tensor logits = test::random_tensor({kTokens, model.experts}, dtype, 1);
                    const Tensor bias =
                        biased ? test::random_tensor({model.experts}, DType::f32, 2, 0.3)
                               : Tensor();
                    const Choice out = gate(context, logits, bias, o);
                    // exp and three roundings; softmax's shift by a maximum below 4 adds 4, its
                    // sum in four running sums a quarter of the experts.
                    const double u = (12 + double(model.experts) / 4) * test::unit_roundoff(dtype);
                    for (int64_t t = 0; t < kTokens; ++t) {
                        const std::vector<double> scores = scores_of(logits, t, o.scoring);
                        std::vector<double> choices;
                        for (int64_t e = 0; e < model.experts; ++e) {
                            const double s = value_at(out.scores, t * model.experts + e);
                            CHECK(std::abs(s - scores[size_t(e)]) <= u * scores[size_t(e)]);
                            const double shift = biased ? value_at(bias, e) : 0;
                            choices.push_back(dtype == DType::f64 ? s + shift
                                                                  : double(float(s + shift)));
                        }
                        const std::vector<int> expected = chosen(choices, o);
                        CHECK(ids_of(out, t) == expected);
                        double sum = 0;
                        for (const int e : expected) sum += scores[size_t(e)];
                        const double divisor = o.norm_topk_prob ? sum + 1e-20 : 1;
                        for (int64_t k = 0; k < o.top_k; ++k) {
                            const double weight = scores[size_t(expected[size_t(k)])] / divisor *
                                                  o.routed_scaling_factor;
                            CHECK(std::abs(value_at(out.weights, t * o.top_k + k) - weight) <=
                                  3 * u * weight);
                        }
                    }
                }
            }
        }
    });
}

TEST_CASE("gate: the bias changes the choice, never the weight") {
    test::for_each_isa([](Context& context) {
        const Tensor logits = row_of({2, 1, 0, -1});
        const GateOptions options{.top_k = 2, .norm_topk_prob = false};
        const Choice plain = gate(context, logits, {}, options);
        CHECK(ids_of(plain) == std::vector<int>{0, 1});
        const Choice biased = gate(context, logits, bias_of({0, -5, 0, 5}), options);
        CHECK(ids_of(biased) == std::vector<int>{0, 3});
        CHECK(test::same_bits(biased.scores, plain.scores));
        CHECK(value_at(biased.weights, 0) == value_at(plain.scores, 0));
        CHECK(value_at(biased.weights, 1) == value_at(plain.scores, 3));
    });
}

TEST_CASE("gate: the lowest index wins a tie, among experts and among groups") {
    test::for_each_isa([](Context& context) {
        const Tensor equal = row_of(std::vector<double>(12, 0.5));
        CHECK(ids_of(gate(context, equal, {}, {.top_k = 3})) == std::vector<int>{0, 1, 2});
        const GateOptions grouped{.n_group = 4, .topk_group = 2, .top_k = 4};
        CHECK(ids_of(gate(context, equal, {}, grouped)) == std::vector<int>{0, 1, 2, 3});
        // Group 3 is the best, the others are equal: group 0 joins it and its experts win ties.
        std::vector<double> logits(12, 0.0);
        logits[9] = 1;
        const Choice out = gate(context, row_of(logits), {}, grouped);
        CHECK(ids_of(out) == std::vector<int>{0, 1, 2, 9});
    });
}

TEST_CASE("gate: experts outside the chosen groups are never taken, however negative the biases") {
    test::for_each_isa([](Context& context) {
        // With all biases near −10 an excluded expert set to 0 rather than −∞ would win.
        const Tensor logits = row_of({3, 2, 0, 0, 1, 1});
        const Tensor bias = bias_of({-10, -10, -10.5, -10.5, -10, -10});
        const GateOptions options{.n_group = 3, .topk_group = 1, .top_k = 2};
        CHECK(ids_of(gate(context, logits, bias, options)) == std::vector<int>{0, 1});
    });
}

TEST_CASE("gate: a group's score is the sum of its two best in V3, its best in V2") {
    test::for_each_isa([](Context& context) {
        const Tensor logits = row_of({4, -9, -9, 1.5, 1.5, 1.5});
        GateOptions options{.n_group = 2, .topk_group = 1, .top_k = 1};
        CHECK(ids_of(gate(context, logits, {}, options)) == std::vector<int>{3});
        options.group_score = GateOptions::GroupScore::maximum;
        CHECK(ids_of(gate(context, logits, {}, options)) == std::vector<int>{0});
    });
}

TEST_CASE("gate: NaN logits still give distinct experts that exist, and lose to numbers") {
    test::for_each_isa([](Context& context) {
        const double nan = std::nan("");
        const GateOptions options{.top_k = 2};
        CHECK(ids_of(gate(context, row_of({nan, nan, nan, nan}), {}, options)) ==
              std::vector<int>{0, 1});
        CHECK(ids_of(gate(context, row_of({nan, nan, 1, nan, -4}), {}, options)) ==
              std::vector<int>{2, 4});
    });
}

TEST_CASE("gate: softmax of logits far below zero is that of the same logits near zero") {
    test::for_each_isa([](Context& context) {
        const GateOptions options{.scoring = GateOptions::Scoring::softmax, .top_k = 2};
        const std::vector<double> near{1, 0.5, 0.25, -1, 2};
        std::vector<double> far;
        for (const double logit : near) far.push_back(logit - 1024);
        CHECK(test::same_bits(gate(context, row_of(far), {}, options).scores,
                              gate(context, row_of(near), {}, options).scores));
    });
}

TEST_CASE("gate: options that cannot be met are refused") {
    test::OwnContext context;
    const Tensor logits = row_of(std::vector<double>(12, 0.0));
    const GateOptions bad[] = {
        {.n_group = 5},
        {.n_group = 0},
        {.n_group = 4, .topk_group = 5},
        {.n_group = 4, .topk_group = 0},
        {.n_group = 4, .topk_group = 1, .top_k = 4},
        {.top_k = 13},
        {.top_k = 0},
    };
    for (const GateOptions& options : bad) {
        CHECK_THROWS_WITH_AS(gate(context, logits, {}, options),
                             doctest::Contains("the gate cannot choose"), Error);
    }
}

TEST_CASE("gate: gradients agree with central differences, from weights to logits") {
    test::for_each_isa([](Context& context) {
        for (const auto scoring : {GateOptions::Scoring::sigmoid, GateOptions::Scoring::softmax}) {
            for (const bool norm : {true, false}) {
                CAPTURE(norm);
                const GateOptions options{.scoring = scoring,
                                          .n_group = 3,
                                          .topk_group = 2,
                                          .top_k = 4,
                                          .norm_topk_prob = norm,
                                          .routed_scaling_factor = 2.5};
                Tensor logits = test::random_tensor({5, 9}, DType::f64, 1);
                const Tensor bias = test::random_tensor({9}, DType::f32, 2, 0.1);
                const Tensor d_weights = test::random_tensor({5, 4}, DType::f64, 3);
                const Choice out = gate(context, logits, bias, options);
                Tensor gradient = test::random_tensor({5, 9}, DType::f64, 4);
                ops::gate_topk_backward(context, d_weights, out.scores, out.ids, options, gradient);
                ops::gate_scores_backward(context, gradient, out.scores, options, gradient);
                test::check_gradient(logits, gradient, [&] {
                    return test::dot(gate(context, logits, bias, options).weights, d_weights);
                });
            }
        }
    });
}

TEST_CASE("gate: the scores' own gradient agrees with central differences in float64") {
    test::for_each_isa([](Context& context) {
        for (const auto scoring : {GateOptions::Scoring::sigmoid, GateOptions::Scoring::softmax}) {
            const GateOptions options{.scoring = scoring, .top_k = 2};
            Tensor logits = test::random_tensor({3, 7}, DType::f64, 1);
            const Tensor d_scores = test::random_tensor({3, 7}, DType::f64, 2);
            const Choice out = gate(context, logits, {}, options);
            Tensor d_logits = Tensor::zeros({3, 7}, DType::f64);
            ops::gate_scores_backward(context, d_scores, out.scores, options, d_logits);
            test::check_gradient(logits, d_logits, [&] {
                return test::dot(gate(context, logits, {}, options).scores, d_scores);
            });
        }
    });
}

TEST_CASE("gate: float32 gradients agree with those in float64") {
    test::for_each_isa([](Context& context) {
        for (const Model& model : kModels) {
            const GateOptions& o = model.options;
            const Tensor logits = test::random_tensor({4, model.experts}, DType::f32, 1);
            const Tensor d_weights = test::random_tensor({4, o.top_k}, DType::f32, 2);
            const auto gradient = [&](DType dtype) {
                const Choice out = gate(context, test::as(logits, dtype), {}, o);
                Tensor d_scores = Tensor::zeros(logits.shape(), dtype);
                ops::gate_topk_backward(context, test::as(d_weights, dtype), out.scores, out.ids, o,
                                        d_scores);
                ops::gate_scores_backward(context, d_scores, out.scores, o, d_scores);
                return d_scores;
            };
            const Tensor expected = gradient(DType::f64);
            // Scores are at least 1/4 of the largest here, so no term exceeds 4·|d|·factor ≤
            // 16·factor.
            const double bound = 64 * 16 * o.routed_scaling_factor * 0x1p-24;
            test::check_close(
                gradient(DType::f32), [&](int64_t i) { return value_at(expected, i); },
                [&](int64_t) { return bound; });
        }
    });
}

TEST_CASE("gate: bits depend neither on threads nor on the batch") {
    const GateOptions& options = kModels[0].options;
    const Tensor logits = test::random_tensor({200, 256}, DType::f32, 1);
    const Tensor bias = test::random_tensor({256}, DType::f32, 2, 0.1);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        const Choice out = gate(context, logits, bias, options);
        return {out.scores, out.ids, out.weights};
    });
    test::for_each_isa([&](Context& context) {
        const Choice all = gate(context, logits, bias, options);
        const Choice one = gate(context, logits.rows(123, 1), bias, options);
        CHECK(test::same_bits(one.ids, all.ids.rows(123, 1)));
        CHECK(test::same_bits(one.weights, all.weights.rows(123, 1)));
    });
}

TEST_CASE("gate: no tokens, no choice") {
    test::OwnContext context;
    const Choice out = gate(context, Tensor::zeros({0, 16}, DType::f32), {}, {.top_k = 2});
    CHECK(out.ids.count() == 0);
}

}  // namespace hadal
