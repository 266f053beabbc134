// The whole model against Transformers' numbers: tolerances are those that each golden's README
// states.
#include "model/head.h"
#include "model/multi_token.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;
using test::excess;

namespace {

struct GoldenRun {
    explicit GoldenRun(const std::string& name, DType dtype = DType::f32, Isa isa = best_isa())
        : machine(2, isa),
          golden(checkpoint::Safetensors::open(test::golden_path(name) / "golden.safetensors")),
          model(load_model(test::golden_path(name), dtype)),
          batch(test::golden_batch(golden.load("input_ids"))),
          saved(allocate_saved(model.config, batch.ids.count(), dtype, true, test::owned())) {}

    std::span<const float> expected(const std::string& name) {
        kept = golden.load(name);
        return {kept.data_as<float>(), size_t(kept.count())};
    }
    Tensor logits() {
        Tensor logits = Tensor::zeros({batch.ids.count(), model.config.vocab_size}, DType::f32);
        head_logits(machine.context, model, saved.normed, logits);
        return logits;
    }

    test::Machine machine;
    checkpoint::Safetensors golden;
    Model model;
    TokenBatch batch;
    Saved saved;
    Tensor kept;
};

void check_router(GoldenRun& run, size_t layer, const ExpertsSaved& moe) {
    const std::string prefix = concat("router.", layer, ".");
    CHECK(excess(moe.scores.values<float>(), run.expected(prefix + "scores"), 1e-5) < 2e-5);
    CHECK(excess(moe.weights.values<float>(), run.expected(prefix + "topk_weights"), 1e-5) < 2e-5);
    const Tensor ids = run.golden.load(prefix + "topk_ids");
    for (size_t i = 0; i < size_t(ids.count()); ++i) {
        REQUIRE(moe.ids.values<int32_t>()[i] == ids.values<int64_t>()[i]);
    }
}

void check_gradients(GoldenRun& run, Weights& gradients) {
    for (const Parameter& parameter : parameters(run.model.config, gradients)) {
        if (parameter.role == Role::router_bias) continue;
        CAPTURE(parameter.name);
        REQUIRE(run.golden.find("grad." + parameter.name) != nullptr);
        const auto expected = run.expected("grad." + parameter.name);
        double largest = 0;
        for (const float value : expected) largest = std::max(largest, std::fabs(double(value)));
        const double worst = excess(parameter.tensor->values<float>(), expected, 1e-4);
        CHECK(worst < std::max(1e-6, 1e-5 * largest));
    }
}

}  // namespace

TEST_CASE("golden: logits, hidden states and router choices equal Transformers'") {
    for (const std::string name : {"base", "no_q_lora"}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(name);
            CAPTURE(int(isa));
            GoldenRun run(name, DType::f32, isa);
            forward(run.machine.context, run.model, run.batch, run.saved);
            CHECK(excess(run.saved.layers[0].x.values<float>(), run.expected("hidden.embed"), 0) ==
                  0);
            for (size_t i = 0; i < run.saved.layers.size(); ++i) {
                CAPTURE(i);
                const Tensor& output =
                    i + 1 < run.saved.layers.size() ? run.saved.layers[i + 1].x : run.saved.hidden;
                CHECK(excess(output.values<float>(), run.expected(concat("hidden.layer.", i)),
                             1e-5) < 2e-5);
                if (run.model.config.is_moe_layer(int64_t(i)))
                    check_router(run, i, run.saved.layers[i].moe);
            }
            CHECK(excess(run.saved.normed.values<float>(), run.expected("hidden.final_norm"),
                         1e-5) < 2e-5);
            CHECK(excess(run.logits().values<float>(), run.expected("logits"), 1e-5) < 2e-5);
        }
    }
}

TEST_CASE("golden: the loss and the gradient of every parameter equal Transformers'") {
    for (const std::string name : {"base", "no_q_lora"}) {
        CAPTURE(name);
        GoldenRun run(name);
        Weights gradients = zero_gradients(run.model.config);
        BackwardSpace space = allocate_backward(run.model.config, run.batch.ids.count(), DType::f32,
                                                true, test::owned());
        const int64_t rows = run.golden.load("input_ids").shape()[0];
        const auto targets = double(run.batch.ids.count() - rows);
        const LossResult result =
            forward_backward(run.machine.context, run.model, run.batch, {.main_scale = 1 / targets},
                             run.saved, space, gradients);
        CHECK(result.targets == int64_t(targets));
        CHECK(result.loss_sum / targets == doctest::Approx(run.expected("loss")[0]).epsilon(1e-6));
        check_gradients(run, gradients);
    }
}

TEST_CASE("golden: DeepSeek-V2's softmax gate, greedy and by groups, equals Transformers'") {
    for (const std::string name : {"v2_greedy", "v2_groups"}) {
        CAPTURE(name);
        GoldenRun run(name);
        CHECK(run.model.config.scoring_func == "softmax");
        forward(run.machine.context, run.model, run.batch, run.saved);
        CHECK(excess(run.logits().values<float>(), run.expected("logits"), 1e-5) < 2e-5);
    }
}

TEST_CASE("golden: YaRN's frequencies, scale and logits") {
    GoldenRun run("yarn");
    const auto frequencies = rotary_frequencies(run.model.config);
    const auto expected = run.expected("rope.inv_freq");
    REQUIRE(frequencies.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(frequencies[i] == doctest::Approx(expected[i]).epsilon(1e-6));
    }
    CHECK(run.model.config.attention_scale() ==
          doctest::Approx(run.expected("attention.softmax_scale")[0]).epsilon(1e-6));
    forward(run.machine.context, run.model, run.batch, run.saved);
    CHECK(excess(run.logits().values<float>(), run.expected("logits"), 1e-5) < 5e-5);
}

TEST_CASE("golden: bf16 arithmetic stays near the float32 result of the same weights") {
    for (const Isa isa : available_isas()) {
        CAPTURE(int(isa));
        GoldenRun run("bf16", DType::bf16, isa);
        forward(run.machine.context, run.model, run.batch, run.saved);
        CHECK(test::relative_l2(run.logits().values<float>(), run.expected("logits_fp32_compute")) <
              2e-2);
        GoldenRun exact("bf16", DType::f32, isa);
        forward(exact.machine.context, exact.model, exact.batch, exact.saved);
        CHECK(excess(exact.logits().values<float>(), exact.expected("logits_fp32_compute"), 1e-5) <
              1e-5 * 10);
    }
}

TEST_CASE("golden: block-FP8 weights, dequantised, give the reference's logits") {
    GoldenRun run("fp8");
    CHECK(run.model.config.block_fp8);
    forward(run.machine.context, run.model, run.batch, run.saved);
    CHECK(excess(run.logits().values<float>(), run.expected("logits"), 1e-5) < 5e-5);
    for (size_t i = 0; i < run.saved.layers.size(); ++i) {
        if (run.model.config.is_moe_layer(int64_t(i)))
            check_router(run, i, run.saved.layers[i].moe);
    }
}

TEST_CASE("golden: three shards give the bits of one file") {
    GoldenRun one("base"), three("sharded");
    forward(one.machine.context, one.model, one.batch, one.saved);
    forward(three.machine.context, three.model, three.batch, three.saved);
    const Tensor a = one.logits(), b = three.logits();
    CHECK(std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0);
}

TEST_CASE("golden: multi-token prediction, its loss and all gradients") {
    GoldenRun run("mtp");
    REQUIRE(run.model.config.num_nextn_predict_layers == 1);
    const auto [rows, length] = run.golden.load("input_ids").shape<2>();
    Weights gradients = zero_gradients(run.model.config);
    BackwardSpace space =
        allocate_backward(run.model.config, run.batch.ids.count(), DType::f32, true, test::owned());
    const double main_targets = double(rows * (length - 1));
    const double mtp_targets = double(rows * (length - 2));
    // The golden divides the MTP loss by its own targets, the report (eq. 24) by the main loss's.
    const LossOptions options{.main_scale = 1 / main_targets,
                              .mtp_weight = 0.3 * main_targets / mtp_targets};
    const LossResult result = forward_backward(run.machine.context, run.model, run.batch, options,
                                               run.saved, space, gradients);
    CHECK(result.loss_sum / main_targets ==
          doctest::Approx(run.expected("loss.main")[0]).epsilon(1e-6));
    CHECK(result.mtp_targets[0] == int64_t(mtp_targets));
    CHECK(result.mtp_loss_sum[0] / mtp_targets ==
          doctest::Approx(run.expected("loss.mtp")[0]).epsilon(1e-6));
    check_gradients(run, gradients);

    Tensor logits = Tensor::zeros({rows * length, run.model.config.vocab_size}, DType::f32);
    head_logits(run.machine.context, run.model, run.saved.mtp[0].normed, logits);
    const auto expected = run.expected("mtp_logits");  // [rows, length − 1, vocab]
    const auto vocab = size_t(run.model.config.vocab_size);
    for (size_t s = 0; s < size_t(rows); ++s) {
        const size_t count = size_t(length - 1) * vocab;
        CHECK(excess(logits.values<float>().subspan(s * size_t(length) * vocab, count),
                     expected.subspan(s * count, count), 1e-5) < 2e-5);
    }
}
