// How a tensor core that keeps few bits adds up, for study: never used by a model.
//
// Report §3.5.2 on Hopper: 32 products are aligned at the largest exponent among them by shifting
// right with sign fill, 14 bits of each are added, and the sum goes to a register of the same
// precision. With K = 4096 the report saw errors of nearly 2 % (§3.3.2); adding the register to a
// float32 one every 128 products, and clearing it, is its mend ("promotion", figure 7b).
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

struct Accumulation {
    int bits = 14;          // of a sum, its sign aside
    int64_t products = 32;  // added at once
    int64_t promotion = 0;  // products between additions to float32; 0: never
};

/// c = a·bᵀ of E4M3 codes without scales. An element is computed in float64 but for the bits that
/// the accumulation drops, so that no other error is in it.
void matmul_nt_accumulated(Context& context,
                           const Tensor& a,  // [m, k] f8_e4m3
                           const Tensor& b,  // [n, k] f8_e4m3
                           const Accumulation& accumulation,
                           Tensor& c);  // [m, n] f64
/// The same sums, exact.
void matmul_nt_exact(Context& context, const Tensor& a, const Tensor& b, Tensor& c);

}  // namespace hadal::ops
