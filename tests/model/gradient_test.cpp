// The whole model in double precision: every parameter's gradient against central differences.
#include "core/random.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

namespace {

ModelConfig small_config(bool q_lora, const std::string& scoring) {
    ModelConfig c = preset("tiny");
    c.vocab_size = 23;
    c.hidden_size = 10;
    c.intermediate_size = 14;
    c.moe_intermediate_size = 6;
    c.num_hidden_layers = 2;
    c.num_attention_heads = 3;
    c.n_routed_experts = 6;
    c.num_experts_per_tok = 2;
    c.n_group = 3;
    c.topk_group = 2;
    c.q_lora_rank = q_lora ? 7 : 0;
    c.kv_lora_rank = 5;
    c.qk_nope_head_dim = 4;
    c.qk_rope_head_dim = 2;
    c.v_head_dim = 3;
    c.num_nextn_predict_layers = q_lora ? 2 : 1;
    c.scoring_func = scoring;
    c.norm_topk_prob = scoring == "sigmoid";
    c.initializer_range = 0.4;
    c.max_position_embeddings = 16;
    return c;
}

/// The scalar whose gradient forward_backward computes, from evaluate's parts.
double total_loss(Context& context, const Model& model, const TokenBatch& batch,
                  const LossOptions& options, Saved& saved) {
    const LossResult result = evaluate(context, model, batch, options, saved);
    double total = result.loss_sum * options.main_scale + result.balance_loss;
    for (const double mtp : result.mtp_loss_sum) {
        total += mtp * options.main_scale * options.mtp_weight / double(result.mtp_loss_sum.size());
    }
    return total;
}

TokenBatch random_batch(int64_t vocab) {
    Tensor rows = Tensor::zeros({2, 8}, DType::i32);
    RandomSequence random(5);
    for (int32_t& id : rows.values<int32_t>()) id = int32_t(random.below(uint64_t(vocab)));
    return make_batch(rows);
}

}  // namespace

TEST_CASE("model: gradients of all parameters agree with central differences in double precision") {
    for (const bool q_lora : {true, false}) {
        for (const std::string scoring : {"sigmoid", "softmax"}) {
            CAPTURE(q_lora);
            CAPTURE(scoring);
            test::Machine machine(1);
            Model model;
            model.config = small_config(q_lora, scoring);
            model.weights = init_weights(machine.context, model.config, DType::f64, 11);
            model.cos_sin = rotary_table(model.config, 16, DType::f64);
            const TokenBatch batch = random_batch(model.config.vocab_size);
            const int64_t tokens = batch.ids.count();
            const LossOptions options{.main_scale = 1.0 / double(tokens),
                                      .mtp_weight = 0.3,
                                      .balance_alpha = 0.02,
                                      .balance_scale = 0.5};
            Saved saved = allocate_saved(model.config, tokens, DType::f64, true, test::owned());
            BackwardSpace space =
                allocate_backward(model.config, tokens, DType::f64, true, test::owned());
            Weights gradients = zero_gradients(model.config, DType::f64);
            forward_backward(machine.context, model, batch, options, saved, space, gradients);
            const auto weights_table = parameters(model.config, model.weights);
            const auto gradient_table = parameters(model.config, gradients);
            for (size_t p = 0; p < weights_table.size(); ++p) {
                if (weights_table[p].role == Role::router_bias) continue;
                CAPTURE(weights_table[p].name);
                const auto values = weights_table[p].tensor->values<double>();
                const auto gradient = gradient_table[p].tensor->values<double>();
                // Three elements of each tensor. The choice of experts is piecewise constant: a
                // step of 1e-6 crosses no border here.
                for (const size_t i : {size_t(0), values.size() / 2, values.size() - 1}) {
                    constexpr double kStep = 1e-6;
                    const double kept = values[i];
                    values[i] = kept + kStep;
                    const double above = total_loss(machine.context, model, batch, options, saved);
                    values[i] = kept - kStep;
                    const double below = total_loss(machine.context, model, batch, options, saved);
                    values[i] = kept;
                    // Truncation O(step²) and cancellation O(2⁻⁵³/step ≈ 1e-10).
                    CHECK(std::fabs((above - below) / (2 * kStep) - gradient[i]) <
                          1e-8 + 1e-6 * std::fabs(gradient[i]));
                }
            }
        }
    }
}

TEST_CASE("model: gradients have the same bits for 1, 2 and 4 threads") {
    const ModelConfig config = preset("tiny");
    std::vector<Weights> results;
    for (const int threads : {1, 2, 4}) {
        test::Machine machine(threads);
        Model model{config, init_weights(machine.context, config, DType::bf16, 1),
                    rotary_table(config, 64, DType::f32)};
        Tensor rows = Tensor::zeros({3, 33}, DType::i32);
        RandomSequence random(9);
        for (int32_t& id : rows.values<int32_t>()) id = int32_t(random.below(512));
        const TokenBatch batch = make_batch(rows);
        Saved saved = allocate_saved(config, 96, DType::bf16, true, test::owned());
        BackwardSpace space = allocate_backward(config, 96, DType::bf16, true, test::owned());
        results.push_back(zero_gradients(config));
        forward_backward(machine.context, model, batch,
                         {.main_scale = 1.0 / 96, .mtp_weight = 0.3, .balance_alpha = 1e-4}, saved,
                         space, results.back());
    }
    const auto expected = parameters(config, results[0]);
    for (size_t r = 1; r < results.size(); ++r) {
        const auto actual = parameters(config, results[r]);
        for (size_t p = 0; p < actual.size(); ++p) {
            if (actual[p].tensor->empty()) continue;
            CAPTURE(actual[p].name);
            CHECK(std::memcmp(actual[p].tensor->data(), expected[p].tensor->data(),
                              size_t(actual[p].tensor->bytes())) == 0);
        }
    }
}
