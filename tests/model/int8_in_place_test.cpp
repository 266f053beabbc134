// A checkpoint of INT4 and INT8 whose codes stay where the file is mapped and meet activations in
// INT8.
#include <cmath>

#include "checkpoint/hugging_face.h"
#include "formats/bfloat16.h"
#include "model/quantize_support.h"
#include "model/save_model.h"
#include "ops/random_normal.h"

using namespace hadal;
using namespace hadal::model;
using test::same;

namespace {

struct Twins : test::ModelFolder {
    Twins() {
        ModelConfig config = preset("tiny");
        config.hidden_size = 160;
        config.intermediate_size = 288;
        config.moe_intermediate_size = 96;
        config.initializer_range = 0.1;
        Weights weights = init_weights(machine.context, config, DType::bf16, 5);
        save_model(folder / "model", config, weights);
        quantize("model", "mixed", {.to = Storage::int4_int8});
        quantize("mixed", "unpacked", {.to = Storage::bf16});
    }
    Model mixed(CodedWeights coded, DType dtype = DType::bf16) const {
        return load_model(folder / "mixed", dtype, 0, nullptr, coded);
    }
};

/// Log-probabilities of a text as `score` computes them.
Tensor scores(Context& context, const Model& model) {
    Tensor rows = Tensor::zeros({1, 40}, DType::i32);
    for (int64_t i = 0; i < 40; ++i)
        rows.values<int32_t>()[size_t(i)] = int32_t((7 * i + 3) % model.config.vocab_size);
    const TokenBatch batch = make_batch(rows);
    const int64_t tokens = batch.ids.count();
    Saved saved = allocate_saved(model.config, tokens, precision_of(model), false, test::owned());
    Tensor log_probabilities = Tensor::zeros({tokens}, DType::f32);
    evaluate(context, model, batch, {}, saved, &log_probabilities);
    return log_probabilities;
}

double mean_square(std::span<const float> x, std::span<const float> y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += std::pow(double(x[i]) - double(y[i]), 2);
    return sum / double(x.size());
}

Tensor noise(Context& context, Shape shape, uint64_t seed) {
    Tensor x = Tensor::uninitialized(shape, DType::bf16);
    ops::random_normal(context, {.seed = seed, .stream = 0}, 1.0, x);
    return x;
}

Linear in_int4(const Tensor& w) {
    Linear linear;
    linear.int8_activations = true;
    linear.int4 = formats::Int4Matrix::uninitialized(w.shape());
    formats::quantize_int4(w, {}, linear.int4);
    return linear;
}

Linear in_int8(const Tensor& w) {
    Linear linear;
    linear.int8_activations = true;
    linear.int8 = formats::Int8Matrix::uninitialized(w.shape());
    formats::quantize_int8(w, linear.int8);
    return linear;
}

}  // namespace

TEST_CASE("int8 in place: every linear layer and the head are views of the mapped codes") {
    const Twins twins;
    const Model model = twins.mixed(CodedWeights::int8_activations);
    const auto files = checkpoint::HuggingFace::open(twins.folder / "mixed");
    const LayerWeights& layer = model.weights.layers.back();
    const std::string prefix = concat("model.layers.", model.config.num_hidden_layers - 1, ".");
    CHECK(layer.self_attn.o_proj.weight.empty());
    CHECK(same(layer.self_attn.o_proj.int8.packed,
               files.load_int8(prefix + "self_attn.o_proj.weight").packed));
    CHECK(layer.moe.shared_experts.up_proj.weight.empty());
    CHECK(held_bytes(layer.moe.shared_experts.up_proj) == 160 * 96 * 17 / 16);
    CHECK(held_bytes(layer.moe.experts[1].down_proj) == 160 * 96 * 9 / 16);
    CHECK(model.weights.lm_head.weight.empty());
    CHECK(model.weights.lm_head.out() == model.config.vocab_size);
    CHECK(same(model.weights.lm_head.int8.packed, files.load_int8("lm_head.weight").packed));
    CHECK_FALSE(layer.self_attn.kv_b_proj.weight.empty());
    CHECK(layer.moe.gate.dtype() == DType::bf16);
}

TEST_CASE("int8 in place: with activations in bf16 every bit is that of the unpacked model") {
    const Twins twins;
    test::Machine machine(3);
    const Tensor expected =
        scores(machine.context, load_model(twins.folder / "unpacked", DType::bf16));
    CHECK(same(scores(machine.context, twins.mixed(CodedWeights::in_place)), expected));
    CHECK(same(scores(machine.context, twins.mixed(CodedWeights::as_values)), expected));
    CHECK(twins.mixed(CodedWeights::int8_activations, DType::f32).weights.lm_head.weight.dtype() ==
          DType::f32);
}

TEST_CASE("int8 in place: the mixed model is near the unpacked one, and is not that") {
    const Twins twins;
    test::Machine machine(3);
    const Tensor unpacked = scores(machine.context, twins.mixed(CodedWeights::in_place));
    const Tensor integers = scores(machine.context, twins.mixed(CodedWeights::int8_activations));
    const double distance = mean_square(integers.values<float>(), unpacked.values<float>());
    CHECK(distance > 0);
    CHECK(distance < 1);  // nats², of a random model's log-probabilities, which spread by more
    const Tensor model = scores(machine.context, load_model(twins.folder / "model", DType::bf16));
    double spread = 0, mean = 0;
    for (const float value : model.values<float>()) mean += value / 39;
    for (const float value : model.values<float>()) spread += std::pow(value - mean, 2) / 39;
    CHECK(distance < 0.2 * spread);
}

TEST_CASE("linear: a product of rows in INT8 errs by what 127 steps of their largest value give") {
    test::Machine machine(2);
    const Tensor x = noise(machine.context, {16, 512}, 1), w = noise(machine.context, {64, 512}, 2);
    for (Linear linear : {in_int4(w), in_int8(w)}) {
        Tensor y = Tensor::zeros({16, 64}, DType::f32), exact = Tensor::zeros({16, 64}, DType::f32);
        linear.forward(machine.context, {.values = x, .fp8 = {}}, y);
        Tensor values = Tensor::uninitialized(w.shape(), DType::bf16);
        if (linear.int8.packed.empty()) {
            formats::dequantize_int4(linear.int4, values);
        } else {
            formats::dequantize_int8(linear.int8, values);
        }
        Linear{.weight = values}.forward(machine.context, {.values = x, .fp8 = {}}, exact);
        // amax of 128 normal values is about 2.7, so a step is 2.7 / 127 and its mean square
        // error a twelfth of the square: 0.6 % of a value; values are rounded to bf16 besides.
        const double error = test::relative_l2(y.values<float>(), exact.values<float>());
        CHECK(error > 0.004);
        CHECK(error < 0.008);
    }
}

TEST_CASE("linear: a list of integer weights has the bits of each alone, whoever shares its rows") {
    test::Machine machine(3);
    Context& context = machine.context;
    const Tensor x = noise(context, {7, 160}, 1), other = noise(context, {2, 160}, 2);
    const Tensor w = noise(context, {48, 160}, 3);
    const Linear int4 = in_int4(w), int8 = in_int8(w), values{.weight = w};
    std::vector<LinearRows> list;
    std::vector<Tensor> alone;
    const auto add = [&](const Tensor& rows, const Linear& linear) {
        const Shape shape{rows.shape()[0], 48};
        list.push_back({{.values = rows, .fp8 = {}}, linear, Tensor::zeros(shape, DType::bf16)});
        alone.push_back(Tensor::zeros(shape, DType::bf16));
        linear.forward(context, list.back().operand, alone.back());
    };
    add(x, int4);
    add(x, int8);
    add(x.rows(0, 3), int8);  // begins where x does, and is not x
    add(other, int4);
    add(x, values);
    add(x.rows(3, 0), int8);
    Linear::forward(context, list);
    for (size_t i = 0; i < list.size(); ++i) CHECK(same(list[i].result, alone[i]));
    CHECK(same(alone[2], alone[1].rows(0, 3).clone()));
    CHECK_FALSE(same(alone[0], alone[1]));
    CHECK_FALSE(same(alone[1], alone[4]));
}

TEST_CASE("linear: a sum onto the residual is the product added and rounded once") {
    test::Machine machine(2);
    const Tensor x = noise(machine.context, {3, 96}, 1), w = noise(machine.context, {40, 96}, 2);
    const Tensor residual = noise(machine.context, {3, 40}, 3);
    for (const Linear& linear : {in_int4(w), in_int8(w)}) {
        Tensor product = Tensor::zeros({3, 40}, DType::f32), sum = residual.clone();
        linear.forward(machine.context, {.values = x, .fp8 = {}}, product);
        linear.forward_add(machine.context, {.values = x, .fp8 = {}}, sum);
        for (size_t i = 0; i < 120; ++i) {
            const float exact = product.values<float>()[i] + to_float(residual.values<bf16>()[i]);
            CHECK(sum.values<bf16>()[i] == to_bf16(exact));
        }
    }
}
