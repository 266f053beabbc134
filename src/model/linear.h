// A linear layer, y = x·Wᵀ: the one way in which the model multiplies by a weight. Its three
// products are forward, input gradient and weight gradient; all three run in FP8 where the operands
// ask for it (report §3.3.1, figure 6), else in the model's type. Embedding and gate are no linear
// layers in this sense; the head is one whose operands never ask.
#pragma once

#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"
#include "formats/scale_tile.h"
#include "model/activation.h"
#include "model/precision.h"

namespace hadal::model {

using formats::TiledMatrix;

/// Rows that enter products of linear layers: the input of forward, or the gradient of the output.
struct Operand {
    Tensor values;                 // [rows, width] bf16|f32|f64; may be empty where tiles are not
    std::optional<Fp8Format> fp8;  // products read codes of this format
    /// The values in that format, quantised once for all products. Empty where every product
    /// quantises for itself: tiles that span rows begin anew for each expert.
    TiledMatrix tiles = {};

    /// A view.
    Operand rows(int64_t begin, int64_t count) const;
};
Operand allocate_operand(std::string_view name, Shape shape, DType dtype,
                         const std::optional<Fp8Format>& fp8, const Allocate& allocate);
/// The same over values that exist, or that come later.
Operand with_tiles(Tensor values, std::string_view name, Shape shape,
                   const std::optional<Fp8Format>& fp8, const Allocate& allocate);
/// The same without values where there are tiles: of rows that are gathered as codes.
Operand allocate_gathered(std::string_view name, Shape shape, DType dtype,
                          const std::optional<Fp8Format>& fp8, const Allocate& allocate);
/// The same with values only where there are no tiles of one row: of rows that an operator writes
/// as codes.
Operand allocate_coded(std::string_view name, Shape shape, DType dtype,
                       const std::optional<Fp8Format>& fp8, const Allocate& allocate);
/// Fills the tiles, if there are any, from the values.
void encode(Context& context, Operand& operand);
/// rows[r] = x[row_source[r] / top_k]: of the tiles where both have them, else of the values.
void gather(Context& context, const Operand& x, const Tensor& row_source, int64_t top_k,
            Operand& rows);

/// One product of a list, over some of the rows: the experts of a layer, ragged, as one fork/join.
struct LinearRows;
struct LinearGradientRows;

struct Linear {
    Tensor weight;  // [out, in] bf16|f32|f64; the float32 master where there are codes; empty where
                    // the codes are all there is, which serves forward of bf16 operands only
    /// Codes of the weight as forward reads them; empty without FP8.
    TiledMatrix codes = {};
    /// As the input gradient reads them, in tiles along `out`; the same where tiles are square.
    TiledMatrix codes_along_out = {};
    /// Codes of a checkpoint in INT4 or INT8; empty without. They serve forward of bf16 operands,
    /// and there is no weight then.
    formats::Int4Matrix int4 = {};
    formats::Int8Matrix int8 = {};
    /// Whether integer codes are multiplied by activations in INT8, which are quantised row by row
    /// as they come. INT8 codes are never multiplied otherwise.
    bool int8_activations = false;

    /// Rows of the weight, whatever holds it.
    int64_t out() const;

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

    /// gradient += d_yᵀ·x for each of the list, so that micro-batches accumulate. FP8 operands are
    /// quantised anew in tiles along the tokens, from the tiles that the other products read.
    static void add_gradients(Context& context, std::span<const LinearGradientRows> list);
};

struct LinearRows {
    Operand operand;       // x, or d_y
    const Linear& linear;  // lives longer than the list
    Tensor result;         // y, or d_x
    bool add = false;      // to what the result holds
};
/// In the workspace's memory.
using LinearList = std::pmr::vector<LinearRows>;
struct LinearGradientRows {
    Operand d_y;       // [rows, out]
    Operand x;         // [rows, in]
    Linear& gradient;  // its weight [out, in] f32 is the sum
};

/// Quantises weights, with memory of their own for the codes: after every change of the masters.
void quantize_weights(Context& context, std::span<Linear* const> linears, const Fp8Format& format);

/// Bytes that a pass reads of a linear layer that is held so.
int64_t held_bytes(const Linear& linear);
/// Bytes of the codes and scales of a weight.
int64_t code_bytes(const Shape& weight, const Fp8Format& format);

}  // namespace hadal::model
