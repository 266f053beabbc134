// Rows of the latent cache in FP8: half the memory, and half of what decoding reads.
//
// A row is c in E4M3, its scale, then k_pe in bf16, which would lose its position's angle in eight
// bits. The scale is the row's amax / 448 rounded up to a power of two: what is read back is exact
// in bf16, so that every reader sees the same values whatever it multiplies with.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

inline constexpr int64_t kLatentScaleBytes = 4;  // a float32

/// kv_lora_rank + 4 + 2·rope
constexpr int64_t latent_row_bytes(int64_t rank, int64_t rope) {
    return rank + kLatentScaleBytes + 2 * rope;
}

/// Row t goes to row places[t] of the cache; to none below 0.
void write_latent_rows(Context& context,
                       const Tensor& c,       // [tokens, kv_lora_rank] bf16, after its norm
                       const Tensor& k_pe,    // [tokens, rope] bf16, after rotation
                       const Tensor& places,  // [tokens] i32
                       Tensor& cache);        // [rows, latent_row_bytes] u8

/// The way back: latents[t] is row places[t] of the cache.
void read_latent_rows(Context& context, const Tensor& cache,
                      const Tensor& places,  // [tokens] i32, none below 0
                      int64_t rank,
                      Tensor& latents);  // [tokens, kv_lora_rank + rope] bf16

}  // namespace hadal::ops
