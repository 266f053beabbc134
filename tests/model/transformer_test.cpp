// What holds for every model of the family, whatever its weights: causality, independence of
// sequences, symmetries of the experts, additivity of gradients.
#include "model/transformer.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

namespace {

using Sequence = std::vector<int32_t>;

ModelConfig small_config() {
    ModelConfig config = preset("tiny");
    config.vocab_size = 50;
    config.hidden_size = 40;
    config.initializer_range = 0.15;
    config.max_position_embeddings = 128;
    return config;
}

Sequence random_ids(int64_t count, uint64_t seed) {
    RandomSequence random(seed);
    Sequence ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(random.below(50)));
    return ids;
}

/// The last id of each sequence is a target only.
TokenBatch batch_of(const std::vector<Sequence>& sequences) {
    TokenBatch batch;
    Sequence ids, targets, positions;
    for (const Sequence& sequence : sequences) {
        batch.starts.push_back(int64_t(ids.size()));
        for (size_t i = 0; i + 1 < sequence.size(); ++i) {
            ids.push_back(sequence[i]);
            targets.push_back(sequence[i + 1]);
            positions.push_back(int32_t(i));
        }
    }
    batch.starts.push_back(int64_t(ids.size()));
    for (const auto& [values, tensor] : {std::pair{&ids, &batch.ids},
                                         {&targets, &batch.targets},
                                         {&positions, &batch.positions}}) {
        *tensor = Tensor::uninitialized({int64_t(values->size())}, DType::i32);
        std::ranges::copy(*values, tensor->values<int32_t>().begin());
    }
    return batch;
}

struct Setting {
    explicit Setting(DType type, const ModelConfig& config = small_config())
        : dtype(type),
          model{config, init_weights(machine.context, config, type, 11),
                rotary_table(config, 128, statistics_dtype(type))} {}

    /// log p of every target, [tokens].
    Tensor log_probabilities(const TokenBatch& batch) {
        Saved saved = allocate_saved(model.config, batch.ids.count(), dtype, false, owned);
        Tensor values = Tensor::zeros({batch.ids.count()}, DType::f32);
        evaluate(machine.context, model, batch, {}, saved, &values);
        return values;
    }
    std::pair<LossResult, Weights> gradients(const TokenBatch& batch, LossOptions options = {}) {
        const bool mtp = options.mtp_weight != 0;
        const int64_t tokens = batch.ids.count();
        Saved saved = allocate_saved(model.config, tokens, dtype, mtp, owned);
        BackwardSpace space = allocate_backward(model.config, tokens, dtype, mtp, owned);
        Weights result = zero_gradients(model.config, statistics_dtype(dtype));
        const LossResult loss =
            forward_backward(machine.context, model, batch, options, saved, space, result);
        return {loss, result};
    }

    test::Machine machine;
    DType dtype;
    Model model;
};

std::vector<float> floats(const Tensor& tensor) {
    const auto values = tensor.values<float>();
    return {values.begin(), values.end()};
}

double largest_difference(const ModelConfig& config, Weights a, Weights b) {
    double largest = 0;
    const auto left = parameters(config, a), right = parameters(config, b);
    for (size_t p = 0; p < left.size(); ++p) {
        if (left[p].tensor->empty()) continue;
        const auto x = left[p].tensor->values<double>(), y = right[p].tensor->values<double>();
        for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
    }
    return largest;
}

}  // namespace

TEST_CASE("transformer: no token sees what comes after it, to the bit") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        CAPTURE(name(dtype));
        Setting s(dtype);
        Sequence ids = random_ids(40, 1);
        const auto before = floats(s.log_probabilities(batch_of({ids})));
        for (const size_t changed : {39, 38, 20, 1}) {
            CAPTURE(changed);
            Sequence other = ids;
            for (size_t i = changed; i < other.size(); ++i) other[i] = (other[i] + 7) % 50;
            const auto after = floats(s.log_probabilities(batch_of({other})));
            // Position changed − 1 has another target, those before it are as they were.
            for (size_t t = 0; t + 1 < changed; ++t) REQUIRE(after[t] == before[t]);
            CHECK(after[changed - 1] != before[changed - 1]);
        }
    }
}

TEST_CASE("transformer: a sequence has the same bits alone and among others, in any order") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        CAPTURE(name(dtype));
        Setting s(dtype);
        const std::vector<Sequence> all = {random_ids(17, 2), random_ids(2, 3), random_ids(33, 4)};
        std::vector<std::vector<float>> alone;
        for (const Sequence& ids : all)
            alone.push_back(floats(s.log_probabilities(batch_of({ids}))));
        std::vector<size_t> order = {0, 1, 2};
        do {
            const TokenBatch batch = batch_of({all[order[0]], all[order[1]], all[order[2]]});
            const auto together = floats(s.log_probabilities(batch));
            for (size_t i = 0; i < order.size(); ++i) {
                const auto begin = together.begin() + batch.starts[i];
                REQUIRE(std::equal(alone[order[i]].begin(), alone[order[i]].end(), begin));
            }
        } while (std::ranges::next_permutation(order).found);
    }
}

TEST_CASE("transformer: an offset of all positions changes the result by rounding only") {
    // RoPE turns queries and keys by their positions: products depend on distances alone.
    Setting s(DType::f32);
    TokenBatch batch = batch_of({random_ids(30, 5)});
    const auto before = floats(s.log_probabilities(batch));
    for (int32_t& position : batch.positions.values<int32_t>()) position += 61;
    const auto after = floats(s.log_probabilities(batch));
    for (size_t t = 0; t < before.size(); ++t)
        CHECK(after[t] == doctest::Approx(before[t]).epsilon(1e-4));
}

TEST_CASE("transformer: experts that change places within their groups change nothing") {
    Setting s(DType::f64);
    const TokenBatch batch = batch_of({random_ids(30, 6)});
    const auto before = s.gradients(batch).first.loss_sum;
    const int64_t group = s.model.config.n_routed_experts / s.model.config.n_group;
    for (int64_t i = 0; i < s.model.config.num_hidden_layers; ++i) {
        if (!s.model.config.is_moe_layer(i)) continue;
        auto& moe = s.model.weights.layers[size_t(i)].moe;
        for (int64_t first = 0; first < s.model.config.n_routed_experts; first += group) {
            std::swap(moe.experts[size_t(first)], moe.experts[size_t(first + 1)]);
            const auto a = moe.gate.row<double>(first), b = moe.gate.row<double>(first + 1);
            std::swap_ranges(a.begin(), a.end(), b.begin());
        }
    }
    CHECK(s.gradients(batch).first.loss_sum == doctest::Approx(before).epsilon(1e-12));
}

TEST_CASE("transformer: one offset of all selection biases changes no choice") {
    Setting s(DType::f32);
    const TokenBatch batch = batch_of({random_ids(40, 7)});
    const auto before = floats(s.log_probabilities(batch));
    for (auto& layer : s.model.weights.layers) {
        if (layer.moe.e_score_correction_bias.empty()) continue;
        for (float& bias : layer.moe.e_score_correction_bias.values<float>()) bias += 2;
    }
    CHECK(floats(s.log_probabilities(batch)) == before);
}

TEST_CASE("transformer: targets of -1 are no part of loss or gradient") {
    Setting s(DType::f64);
    const TokenBatch whole = batch_of({random_ids(12, 8)});
    TokenBatch none = whole;
    none.targets = whole.targets.clone();
    std::ranges::fill(none.targets.values<int32_t>(), -1);
    auto [loss, gradients] = s.gradients(none);
    CHECK(loss.loss_sum == 0);
    CHECK(loss.targets == 0);
    CHECK(largest_difference(s.model.config, gradients,
                             zero_gradients(s.model.config, DType::f64)) == 0);

    TokenBatch half = whole;
    half.targets = whole.targets.clone();
    const auto targets = half.targets.values<int32_t>();
    double expected = 0;
    const auto log_p = floats(Setting(DType::f32).log_probabilities(whole));
    for (size_t t = 0; t < targets.size(); ++t) {
        if (t % 2 == 0) targets[t] = -1;
        if (t % 2 == 1) expected -= double(log_p[t]);
    }
    CHECK(s.gradients(half).first.loss_sum == doctest::Approx(expected).epsilon(0.02));
    CHECK(s.gradients(half).first.targets == int64_t(targets.size() / 2));
}

TEST_CASE("transformer: gradients of two batches add up to those of both, MTP included") {
    Setting s(DType::f64);
    const Sequence a = random_ids(9, 9), b = random_ids(14, 10);
    const LossOptions options{.main_scale = 0.1, .mtp_weight = 0.3, .balance_alpha = 0.01};
    const auto [loss_a, gradients_a] = s.gradients(batch_of({a}), options);
    const auto [loss_b, gradients_b] = s.gradients(batch_of({b}), options);
    auto [loss_both, both] = s.gradients(batch_of({a, b}), options);
    CHECK(loss_both.loss_sum == doctest::Approx(loss_a.loss_sum + loss_b.loss_sum).epsilon(1e-12));
    CHECK(loss_both.mtp_targets[0] == loss_a.mtp_targets[0] + loss_b.mtp_targets[0]);
    CHECK(loss_both.balance_loss ==
          doctest::Approx(loss_a.balance_loss + loss_b.balance_loss).epsilon(1e-12));
    Weights sum = gradients_a, second = gradients_b;
    const auto left = parameters(s.model.config, sum), right = parameters(s.model.config, second);
    for (size_t p = 0; p < left.size(); ++p) {
        if (left[p].tensor->empty()) continue;
        const auto x = left[p].tensor->values<double>();
        const auto y = right[p].tensor->values<double>();
        for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    }
    CHECK(largest_difference(s.model.config, sum, both) < 1e-12);
    for (size_t layer = 0; layer < loss_both.expert_load.size(); ++layer) {
        for (size_t e = 0; e < loss_both.expert_load[layer].size(); ++e)
            CHECK(loss_both.expert_load[layer][e] ==
                  loss_a.expert_load[layer][e] + loss_b.expert_load[layer][e]);
    }
}

TEST_CASE("transformer: every token reaches as many experts as the configuration says") {
    Setting s(DType::bf16);
    const TokenBatch batch = batch_of({random_ids(35, 12), random_ids(6, 13)});
    const LossResult result = s.gradients(batch, {.mtp_weight = 0.1}).first;
    const ModelConfig& config = s.model.config;
    REQUIRE(int64_t(result.expert_load.size()) == config.num_hidden_layers -
                                                      config.first_k_dense_replace +
                                                      config.num_nextn_predict_layers);
    for (const auto& load : result.expert_load) {
        CHECK(int64_t(load.size()) == config.n_routed_experts);
        CHECK(std::accumulate(load.begin(), load.end(), int64_t(0)) ==
              batch.ids.count() * config.num_experts_per_tok);
    }
}

TEST_CASE("transformer: ids outside the vocabulary are refused with their value") {
    Setting s(DType::f32);
    for (const int32_t bad : {-1, 50, 1 << 30}) {
        CAPTURE(bad);
        CHECK_THROWS_WITH_AS(s.log_probabilities(batch_of({{1, 2, bad, 3}})),
                             doctest::Contains(std::to_string(bad).c_str()), Error);
    }
}
