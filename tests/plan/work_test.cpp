#include "plan/work.h"

#include <doctest/doctest.h>
#include <string>

#include "model/parameters.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

/// Multiplied weights of one token, summed over the table of parameters.
double multiplied_weights(const model::ModelConfig& config, bool mtp) {
    model::Weights none;
    double sum = 0;
    for (const model::Parameter& parameter : model::parameters(config, none)) {
        if (parameter.in_mtp != mtp) continue;
        const auto elements = double(parameter.shape.count());
        switch (parameter.role) {
            case model::Role::expert:
                sum +=
                    elements / double(config.n_routed_experts) * double(config.num_experts_per_tok);
                break;
            case model::Role::matrix:
            case model::Role::router:
            case model::Role::head:
                sum += elements;
                break;
            case model::Role::embedding:
            case model::Role::norm:
            case model::Role::router_bias:
                break;
        }
    }
    return sum;
}

}  // namespace

TEST_CASE("work: products agree with a sum over the table of parameters") {
    for (const std::string& name : model::preset_names()) {
        CAPTURE(name);
        const model::ModelConfig config = model::preset(name);
        const PartFlops parts = forward_flops(work_of(config), /*sequence=*/0);
        CHECK(parts.without_mtp() == doctest::Approx(2 * multiplied_weights(config, false)));
        // A module uses the main model's head once more.
        const double module =
            multiplied_weights(config, true) + double(config.num_nextn_predict_layers) *
                                                   double(config.vocab_size * config.hidden_size);
        CHECK(parts.mtp == doctest::Approx(2 * module));
    }
}

TEST_CASE("work: FLOPs per token are those that independent counts give") {
    const ModelWork work = work_of(test::v3());
    // Sources count 250 and 260.6; the rest by hand with the same formula.
    CHECK(training_flops(work, 4096, true, false) == doctest::Approx(250.4e9).epsilon(1e-3));
    CHECK(training_flops(work, 4096, true, true) == doctest::Approx(260.6e9).epsilon(1e-3));
    CHECK(training_flops(work, 4096, false, false) == doctest::Approx(281.2e9).epsilon(1e-3));
    CHECK(training_flops(work, 4096, false, true) == doctest::Approx(291.8e9).epsilon(1e-3));
    CHECK(training_flops(work, 32768, true, true) == doctest::Approx(479e9).epsilon(2e-3));
    CHECK(training_flops(work, 131072, true, true) == doctest::Approx(1228e9).epsilon(2e-3));
    const ModelWork kimi = work_of(model::preset("kimi-k2"));
    CHECK(training_flops(kimi, 4096, true, false) == doctest::Approx(205e9).epsilon(5e-3));
}

TEST_CASE("work: prefill of one token costs what the fact sheets say") {
    const ModelWork work = work_of(test::v3());
    CHECK(forward_flops(work, 1024).without_mtp() == doctest::Approx(75.8e9).epsilon(2e-3));
    CHECK(forward_flops(work, 4096).without_mtp() == doctest::Approx(83.5e9).epsilon(2e-3));
    CHECK(forward_flops(work, 131072).without_mtp() == doctest::Approx(401e9).epsilon(2e-3));
}

TEST_CASE("work: each MTP depth costs the same again") {
    const auto flops = [](int64_t depth) {
        return training_flops(work_of(test::v3(), depth), 4096, true, true);
    };
    CHECK(flops(2) == doctest::Approx(270.8e9).epsilon(1e-3));
    CHECK(flops(3) == doctest::Approx(281.0e9).epsilon(1e-3));
    CHECK(flops(3) - flops(2) == doctest::Approx(flops(1) - flops(0)));
}

TEST_CASE("stages: the mean load counts head and MTP, and whole layers are its floor") {
    const ModelWork work = work_of(test::v3());
    CHECK(layers_per_stage(work, 4096, 16) == doctest::Approx(4.057).epsilon(1e-3));
    CHECK(layers_per_stage(work, 4096, 40) == 2);  // 61 layers on 40 stages: somebody has two
    const ModelWork without = work_of(test::v3(), 0);
    CHECK(layers_per_stage(without, 4096, 16) == 4);
}

}  // namespace hadal::plan
