// A linear layer, y = x·Wᵀ: the one way in which the model multiplies by a weight. Its three
// products are forward, input gradient and weight gradient. Embedding, head and gate are no linear
// layers in this sense: they always run in the model's type (report §3.3.1).
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"

namespace hadal::model {

/// Rows that enter products of linear layers: the input of forward, or the gradient of the output.
struct Operand {
    Tensor values;  // [rows, width] bf16|f32|f64

    Operand rows(int64_t begin, int64_t count) const {
        return {values.rows(begin, count)};
    }
};
Operand allocate_operand(std::string_view name, Shape shape, DType dtype, const Allocate& allocate);

/// One product of a list, over some of the rows: the experts of a layer, ragged, as one fork/join.
struct LinearRows;
struct LinearGradientRows;

struct Linear {
    Tensor weight;  // [out, in]

    /// y = x·Wᵀ.   x [tokens, in], y [tokens, out]
    void forward(Context& context, const Operand& x, Tensor& y) const;
    /// y += x·Wᵀ, rounded once.
    void forward_add(Context& context, const Operand& x, Tensor& y) const;
    static void forward(Context& context, std::span<const LinearRows> list);

    /// d_x = d_y·W.   d_y [tokens, out], d_x [tokens, in]
    void backward_input(Context& context, const Operand& d_y, Tensor& d_x) const;
    /// d_x += d_y·W.
    void backward_input_add(Context& context, const Operand& d_y, Tensor& d_x) const;
    static void backward_input(Context& context, std::span<const LinearRows> list);
    static void backward_input_add(Context& context, std::span<const LinearRows> list);

    /// This layer holding a gradient: weight += d_yᵀ·x, so that micro-batches accumulate.
    void add_gradient(Context& context, const Operand& d_y, const Operand& x);
    static void add_gradients(Context& context, std::span<const LinearGradientRows> list);
};

struct LinearRows {
    Operand operand;       // x, or d_y
    const Linear& linear;  // lives longer than the list
    Tensor result;         // y, or d_x
};
struct LinearGradientRows {
    Operand d_y;       // [rows, out]
    Operand x;         // [rows, in]
    Linear& gradient;  // [out, in]
};

}  // namespace hadal::model
