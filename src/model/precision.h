// How a model computes, and what its forward pass keeps for backward.
#pragma once

#include <optional>

#include "core/dtype.h"
#include "formats/scale_tile.h"

namespace hadal::model {

/// How one operand of an FP8 product is quantised.
struct Fp8Format {
    formats::Tiling tiling;
    DType codes = DType::f8_e4m3;  // or f8_e5m2
};

/// The operands of linear layers' products, by default as the report has them (§3.3.2): E4M3
/// everywhere, 1×128 tiles for activations and output gradients, 128×128 for weights.
struct Fp8Recipe {
    Fp8Format activation = {formats::kRowTiles};
    Fp8Format weight = {formats::kBlockTiles};
    Fp8Format gradient = {formats::kRowTiles};
};

struct Precision {
    DType dtype;                   // of activations: bf16, f32, or f64 for gradient checks
    bool recompute = false;        // backward computes norms, up-projections and SwiGLU again
    std::optional<Fp8Recipe> fp8;  // of linear layers; they compute in `dtype` without

    Precision(DType type) : dtype(type) {}  // NOLINT: a type alone is a precision
    Precision(DType type, bool compute_again) : dtype(type), recompute(compute_again) {}
    /// Linear layers in FP8, all else in bf16. What such a pass keeps is what it recomputes from
    /// (report §3.3.3).
    explicit Precision(const Fp8Recipe& recipe)
        : dtype(DType::bf16), recompute(true), fp8(recipe) {}

    std::optional<Fp8Format> activation() const {
        return fp8 ? std::optional(fp8->activation) : std::nullopt;
    }
    std::optional<Fp8Format> gradient() const {
        return fp8 ? std::optional(fp8->gradient) : std::nullopt;
    }
};

}  // namespace hadal::model
