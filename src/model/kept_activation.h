// Activations that forward computes in bf16 and keeps for backward in fewer bits (report §3.3.3).
// Their values lie in memory that layers share: restore() fills it again.
#pragma once

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"
#include "model/precision.h"

namespace hadal::model {

/// Inputs of SwiGLU, in the format of linear layers' inputs.
struct KeptTiles {
    Tensor values;               // [rows, width]
    formats::TiledMatrix tiles;  // empty where the values themselves are kept
};
KeptTiles allocate_kept_tiles(std::string_view name, Shape shape, const Precision& precision,
                              const ActivationMemory& memory);
void store(Context& context, KeptTiles& kept);
void restore(Context& context, KeptTiles& kept);

/// The attention's output: E5M6, since attention's backward reads it too, with powers of two as
/// scales, since it is quantised once more for the weight gradient of o_proj.
struct KeptE5m6 {
    Tensor packed;  // [rows, 3/2·width] u8; empty where the values themselves are kept
    Tensor scale;   // [rows, ⌈width / 128⌉] f32
};
KeptE5m6 allocate_kept_e5m6(std::string_view name, Shape shape, const Precision& precision,
                            const ActivationMemory& memory);
void store(Context& context, const Tensor& values, KeptE5m6& kept);
void restore(Context& context, const KeptE5m6& kept, Tensor& values);

}  // namespace hadal::model
