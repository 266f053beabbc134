// Picks the kernel set at run time: with_isa(context.isa, [&]<Isa isa>() {
// cpu::rms_norm_rows<isa>(…); });
#pragma once

#include "core/isa.h"

namespace hadal::ops::cpu {

/// Calls f.template operator()<isa>() with the set that elementwise kernels have: amx uses avx512.
template <class F>
void with_isa(Isa isa, const F& f) {
#if defined(__x86_64__)
    if (isa >= Isa::avx512) return f.template operator()<Isa::avx512>();
    if (isa == Isa::avx2) return f.template operator()<Isa::avx2>();
#endif
    f.template operator()<Isa::portable>();
}

/// The same for kernels that have an AMX version of their own.
template <class F>
void with_matmul_isa(Isa isa, const F& f) {
#if defined(__x86_64__)
    if (isa == Isa::amx) return f.template operator()<Isa::amx>();
#endif
    with_isa(isa, f);
}

}  // namespace hadal::ops::cpu
