#include "model/balance_loss.h"

#include "model/support.h"
#include "ops/gate_topk.h"

using namespace hadal;
using namespace hadal::model;

TEST_CASE("balance_loss: loss, gradient through the sigmoid and bias update equal the golden's") {
    test::Machine machine;
    const auto base =
        checkpoint::Safetensors::open(test::golden_path("base") / "golden.safetensors");
    const auto aux = checkpoint::Safetensors::open(test::golden_path("aux") / "golden.safetensors");
    const Model model = load_model(test::golden_path("base"), DType::f32);
    constexpr double kAlpha = 0.0001;
    const std::vector<int64_t> starts = {0, 37, 74};
    for (const int layer : {1, 2}) {
        CAPTURE(layer);
        const std::string router = concat("router.", layer, "."), key = concat(layer, ".");
        const Tensor scores = base.load(router + "scores");
        const Tensor wide_ids = base.load(router + "topk_ids");
        Tensor ids = Tensor::zeros(wide_ids.shape(), DType::i32);
        for (size_t i = 0; i < size_t(ids.count()); ++i) {
            ids.values<int32_t>()[i] = int32_t(wide_ids.values<int64_t>()[i]);
        }
        const double loss = kAlpha * balance_loss(machine.context, scores, ids, starts) / 2;
        CHECK(loss ==
              doctest::Approx(aux.load(key + "routed.loss").values<double>()[0]).epsilon(1e-6));

        Tensor d_scores = Tensor::zeros(scores.shape(), DType::f32);
        balance_loss_backward(machine.context, scores, ids, starts, kAlpha / 2, d_scores);
        ops::gate_scores_backward(machine.context, d_scores, scores, model.config.gate_options(),
                                  d_scores);
        const auto expected = aux.load(key + "routed.grad_logits");
        double largest = 0;
        for (const double value : expected.values<double>())
            largest = std::max(largest, std::fabs(value));
        for (size_t i = 0; i < size_t(expected.count()); ++i) {
            const double value = expected.values<double>()[i];
            // float32 scores: a difference of nearly equal terms keeps their absolute rounding.
            REQUIRE(std::fabs(d_scores.values<float>()[i] - value) <=
                    1e-5 * std::fabs(value) + 1e-6 * largest);
        }

        const Tensor load = aux.load(key + "load");
        Tensor bias = model.weights.layers[size_t(layer)].moe.e_score_correction_bias.clone();
        update_bias(load.values<int64_t>(), 0.001, bias.values<float>());
        const Tensor after = aux.load(key + "bias_after");
        CHECK(test::excess(bias.values<float>(), after.values<float>(), 0) < 1e-7);
    }
}

TEST_CASE("balance: violation and entropy of even, uneven and empty loads") {
    const std::vector<int64_t> even = {5, 5, 5, 5}, uneven = {20, 0, 0, 0}, none = {0, 0};
    CHECK(max_violation(even) == 0);
    CHECK(max_violation(uneven) == doctest::Approx(3));
    CHECK(max_violation(none) == 0);
    CHECK(load_entropy(even) == doctest::Approx(1));
    CHECK(load_entropy(uneven) == doctest::Approx(0));
}

TEST_CASE("balance: the bias of an expert at the mean load stays") {
    const std::vector<int64_t> load = {3, 1, 2};
    std::vector<float> bias = {0.5f, 0.5f, 0.5f};
    update_bias(load, 0.25, bias);
    CHECK(bias == std::vector<float>{0.25f, 0.75f, 0.5f});
}
