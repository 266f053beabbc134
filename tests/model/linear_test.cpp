#include "model/linear.h"

#include "model/fp8_reference.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

namespace {

Operand operand_of(Context& context, const Tensor& values, const Fp8Format& format) {
    Operand operand = with_tiles(values, "x", values.shape(), format, test::owned());
    encode(context, operand);
    return operand;
}

/// As the input gradient reads a weight: microscaling tiles turn with the inner dimension.
Fp8Format along_out(const Fp8Format& format) {
    if (format.tiling.rows != 1) return format;
    return {{format.tiling.columns, 1, format.tiling.scale}, format.codes};
}

Linear fp8_linear(Context& context, Shape shape, const Fp8Recipe& recipe, uint64_t seed) {
    Linear linear{.weight = test::random_tensor(shape, DType::f32, seed)};
    Linear* const list[] = {&linear};
    quantize_weights(context, list, recipe.weight);
    return linear;
}

constexpr int64_t kIn = 200, kOut = 136;  // neither is a multiple of a tile

}  // namespace

TEST_CASE("linear: FP8 products are those of the quantised numbers, for every recipe") {
    for (const auto& [name, recipe] : test::fp8_recipes()) {
        CAPTURE(name);
        test::for_each_isa([&](Context& context) {
            const Linear linear = fp8_linear(context, {kOut, kIn}, recipe, 1);
            for (const int64_t tokens : {1, 5, 131}) {
                CAPTURE(tokens);
                const Tensor x = test::random_tensor({tokens, kIn}, DType::bf16, 2, 3);
                const Tensor d_y = test::random_tensor({tokens, kOut}, DType::bf16, 3, 0.01);
                const Operand input = operand_of(context, x, recipe.activation);
                const Operand gradient = operand_of(context, d_y, recipe.gradient);
                const test::Exact w = test::quantized(linear.weight, recipe.weight);
                const test::Exact w_along_out =
                    test::quantized(linear.weight, along_out(recipe.weight));

                Tensor y = Tensor::zeros({tokens, kOut}, DType::bf16);
                linear.forward(context, input, y);
                const auto forward = test::product_nt(test::quantized(x, recipe.activation), w);
                test::check_product(y, forward, kIn);
                linear.forward_add(context, input, y);
                test::check_product(y, test::sum(forward, forward), kIn, 2);

                Tensor d_x = Tensor::zeros({tokens, kIn}, DType::bf16);
                linear.backward_input(context, gradient, d_x);
                const auto backward =
                    test::product_nn(test::quantized(d_y, recipe.gradient), w_along_out);
                test::check_product(d_x, backward, kOut);
                linear.backward_input_add(context, gradient, d_x);
                test::check_product(d_x, test::sum(backward, backward), kOut, 2);

                Linear sum{.weight = Tensor::zeros({kOut, kIn}, DType::f32)};
                const LinearGradientRows rows{gradient, input, sum};
                const auto weight = test::product_tn(test::along_tokens(d_y, recipe.gradient),
                                                     test::along_tokens(x, recipe.activation));
                Linear::add_gradients(context, {&rows, 1});
                test::check_product(sum.weight, weight, tokens);
                Linear::add_gradients(context, {&rows, 1});  // micro-batches accumulate
                test::check_product(sum.weight, test::sum(weight, weight), 2 * tokens, 2);
            }
        });
    }
}

TEST_CASE("linear: an operand without tiles is quantised by each product, to the same bits") {
    test::Machine machine;
    for (const auto& [name, recipe] : test::fp8_recipes()) {
        CAPTURE(name);
        const Linear linear = fp8_linear(machine.context, {kOut, kIn}, recipe, 1);
        const Tensor x = test::random_tensor({9, kIn}, DType::bf16, 2);
        Tensor with = Tensor::zeros({9, kOut}, DType::bf16), without = with.clone();
        linear.forward(machine.context, operand_of(machine.context, x, recipe.activation), with);
        linear.forward(machine.context, {.values = x, .fp8 = recipe.activation}, without);
        CHECK(test::same_bits(with, without));
    }
}

TEST_CASE("linear: experts of a list with 0, 1 and many rows are those products one by one") {
    const std::vector<int64_t> offsets = {0, 3, 3, 4, 140};  // experts with 3, 0, 1, 136 rows
    for (const auto& [name, recipe] : test::fp8_recipes()) {
        CAPTURE(name);
        test::Machine machine;
        Context& context = machine.context;
        std::vector<Linear> experts, together, alone;
        for (uint64_t e = 0; e < 4; ++e) {
            experts.push_back(fp8_linear(context, {kOut, kIn}, recipe, 10 + e));
            together.push_back({.weight = Tensor::zeros({kOut, kIn}, DType::f32)});
            alone.push_back({.weight = Tensor::zeros({kOut, kIn}, DType::f32)});
        }
        const Operand x =
            operand_of(context, test::random_tensor({140, kIn}, DType::bf16, 2), recipe.activation);
        const Operand d_y =
            operand_of(context, test::random_tensor({140, kOut}, DType::bf16, 3), recipe.gradient);
        const Tensor y = Tensor::zeros({140, kOut}, DType::bf16), y_alone = y.clone();
        const Tensor d_x = Tensor::zeros({140, kIn}, DType::bf16), d_x_alone = d_x.clone();
        std::vector<LinearRows> forward, backward;
        std::vector<LinearGradientRows> gradients;
        for (size_t e = 0; e < 4; ++e) {
            const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
            if (count == 0) continue;
            forward.push_back({x.rows(begin, count), experts[e], y.rows(begin, count)});
            backward.push_back({d_y.rows(begin, count), experts[e], d_x.rows(begin, count)});
            gradients.push_back({d_y.rows(begin, count), x.rows(begin, count), together[e]});
            Tensor y_rows = y_alone.rows(begin, count), d_x_rows = d_x_alone.rows(begin, count);
            experts[e].forward(context, x.rows(begin, count), y_rows);
            experts[e].backward_input(context, d_y.rows(begin, count), d_x_rows);
            const LinearGradientRows one{d_y.rows(begin, count), x.rows(begin, count), alone[e]};
            Linear::add_gradients(context, {&one, 1});
        }
        Linear::forward(context, forward);
        Linear::backward_input(context, backward);
        Linear::add_gradients(context, gradients);
        CHECK(test::same_bits(y, y_alone));
        CHECK(test::same_bits(d_x, d_x_alone));
        for (size_t e = 0; e < 4; ++e) {
            CHECK(test::same_bits(together[e].weight, alone[e].weight));
        }
        CHECK(test::value_at(together[1].weight, 5) == 0);  // no token, no gradient
        CHECK(test::value_at(together[2].weight, 5) != 0);

        // Tiles along the tokens begin at an expert's first row.
        const test::Exact d_y_3 =
            test::along_tokens(d_y.values.rows(4, 136).clone(), recipe.gradient);
        const test::Exact x_3 =
            test::along_tokens(x.values.rows(4, 136).clone(), recipe.activation);
        if (recipe.activation.tiling.rows == 1) {  // else the scale is that of all experts
            test::check_product(together[3].weight, test::product_tn(d_y_3, x_3), 136);
        }
    }
}

TEST_CASE("linear: rows gathered as codes are the rows quantised") {
    test::Machine machine;
    const Tensor x = test::random_tensor({7, kIn}, DType::bf16, 2);
    const Tensor source = test::filled({14}, DType::i32, [](int64_t i) { return double(13 - i); });
    for (const formats::Tiling& tiling : {formats::kRowTiles, formats::kMicroscaling,
                                          formats::kWholeTensor, formats::kBlockTiles}) {
        const Fp8Format format{tiling};
        const Operand from = operand_of(machine.context, x, format);
        Operand rows = allocate_gathered("rows", {14, kIn}, DType::bf16, format, test::owned());
        gather(machine.context, from, source, 2, rows);
        if (rows.tiles.codes.empty()) {
            CHECK(test::same_bits(rows.values.rows(0, 1), x.rows(6, 1)));
            continue;
        }
        CHECK(rows.values.empty());
        Tensor wide = Tensor::zeros({14, kIn}, DType::f32),
               expected = Tensor::zeros({7, kIn}, DType::f32);
        formats::dequantize_tiles(rows.tiles, wide);
        formats::dequantize_tiles(from.tiles, expected);
        for (int64_t r = 0; r < 14; ++r) {
            CHECK(test::same_bits(wide.rows(r, 1), expected.rows((13 - r) / 2, 1)));
        }
    }
}
