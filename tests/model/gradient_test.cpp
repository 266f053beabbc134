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

namespace {

/// Gradients of one batch of 3 × 32 random tokens.
Weights batch_gradients(Context& context, const ModelConfig& config, const Precision& precision) {
    Model model{config, init_weights(context, config, precision.dtype, 1),
                rotary_table(config, 64, DType::f32)};
    Tensor rows = Tensor::zeros({3, 33}, DType::i32);
    RandomSequence random(9);
    for (int32_t& id : rows.values<int32_t>())
        id = int32_t(random.below(uint64_t(config.vocab_size)));
    const TokenBatch batch = make_batch(rows);
    Saved saved = allocate_saved(config, 96, precision, true, test::owned());
    BackwardSpace space = allocate_backward(config, 96, precision, true, test::owned());
    Weights gradients = zero_gradients(config);
    forward_backward(context, model, batch,
                     {.main_scale = 1.0 / 96, .mtp_weight = 0.3, .balance_alpha = 1e-4}, saved,
                     space, gradients);
    return gradients;
}

void check_same_bits(const ModelConfig& config, Weights& actual, Weights& expected) {
    const auto expected_table = parameters(config, expected);
    const auto actual_table = parameters(config, actual);
    for (size_t p = 0; p < actual_table.size(); ++p) {
        if (actual_table[p].tensor->empty()) continue;
        CAPTURE(actual_table[p].name);
        CHECK(std::memcmp(actual_table[p].tensor->data(), expected_table[p].tensor->data(),
                          size_t(actual_table[p].tensor->bytes())) == 0);
    }
}

}  // namespace

TEST_CASE("model: gradients have the same bits for 1, 2 and 4 threads") {
    const ModelConfig config = preset("tiny");
    test::Machine one(1), two(2), four(4);
    Weights expected = batch_gradients(one.context, config, DType::bf16);
    for (Context* context : {&two.context, &four.context}) {
        Weights actual = batch_gradients(*context, config, DType::bf16);
        check_same_bits(config, actual, expected);
    }
}

TEST_CASE("model: computing activations again in backward changes no bit of the gradients") {
    test::Machine machine;
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const bool q_lora : {true, false}) {
            for (const int64_t modules : {0, 1, 2}) {
                CAPTURE(name(dtype));
                CAPTURE(q_lora);
                CAPTURE(modules);
                ModelConfig config = small_config(q_lora, "sigmoid");
                config.num_nextn_predict_layers = modules;
                Weights kept = batch_gradients(machine.context, config, dtype);
                Weights again = batch_gradients(machine.context, config, {dtype, true});
                check_same_bits(config, again, kept);
            }
        }
    }
}

TEST_CASE("model: layers share the memory of what backward computes again") {
    const ModelConfig config = preset("tiny");
    const auto bytes_of = [&](const Precision& precision) {
        int64_t bytes = 0;
        allocate_saved(config, 64, precision, true,
                       [&](std::string_view, Shape shape, DType dtype) {
                           bytes += shape.count() * size_of(dtype);
                           return Tensor::zeros(shape, dtype);
                       });
        return bytes;
    };
    CHECK(double(bytes_of({DType::bf16, true})) < 0.75 * double(bytes_of(DType::bf16)));
    const Saved saved = allocate_saved(config, 64, {DType::bf16, true}, true, test::owned());
    CHECK(saved.layers[0].attention.kv.data() == saved.layers[1].attention.kv.data());
    CHECK(saved.layers[0].attention.kv.data() != saved.layers[0].attention.q.data());
    CHECK(saved.layers[0].attention.ckv.data() != saved.layers[1].attention.ckv.data());
}
