// MLA attention in its absorbed form over the latent cache: one shared key [c | k_pe] and the value
// c for all heads. v3-facts §2.3; report §2.1.1. Forward only: inference.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Rows of a page of the latent cache.
inline constexpr int64_t kLatentPageRows = 64;

/// One layer of the latent cache: pages of kLatentPageRows rows, page after page.
struct LatentPages {
    Tensor rows;  // [pages·64, kv_lora_rank + rope] bf16|f32|f64: c after its norm, then k_pe after
                  // rotation; or [pages·64, bytes] u8: latent_rows.h, for queries in bf16
    /// Position p of a sequence is kept in slot p + shift of its pages. An MTP module keeps its
    /// rows one slot late, see docs/engine.md.
    int64_t shift = 0;

    /// Row of the position in the pages of a sequence.
    int64_t row_of(std::span<const int32_t> pages, int64_t position) const {
        const int64_t slot = position + shift;
        return pages[size_t(slot / kLatentPageRows)] * kLatentPageRows + slot % kLatentPageRows;
    }
};

/// Some query tokens of one sequence. Its rows in the cache hold the queries' own latents too.
struct LatentSequence {
    std::span<const int32_t> pages;  // of its positions, in order
    int64_t length;                  // positions
    int64_t first_query;             // row of q_latent where this sequence's queries start
    int64_t query_count;             // query i sees positions 0 … length − query_count + i
};

/// u[t,h] = Σ_j softmax_j( scale·(q_latent[t,h]·c_j + q_pe[t,h]·k_pe_j) ) c_j
/// A row's bits depend only on its own position and the cached rows: not on query_count, the pages
/// that hold them, the other sequences or the threads, so a prompt cut into any chunks gives the
/// same bits as token by token.
void attention_latent(Context& context,
                      const Tensor& q_latent,  // [tokens, heads·kv_lora_rank] q_nope·W_UK
                      const Tensor& q_pe,      // [tokens, heads·rope], rotated
                      const LatentPages& cache, std::span<const LatentSequence> sequences,
                      double scale,
                      Tensor& u);  // [tokens, heads·kv_lora_rank] same type

}  // namespace hadal::ops
