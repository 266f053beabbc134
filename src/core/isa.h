// The vector instruction sets that the CPU kernels are compiled for.
#pragma once

#include <string_view>
#include <vector>

namespace hadal {

/// In rising order; a machine that has one has all before it.
enum class Isa {
    portable,  // what every machine of the target has (SSE2 on x86-64)
    avx2,      // AVX2, FMA, F16C
    avx512,    // AVX-512 F, BW, VL, DQ, VBMI, BF16, VNNI: Zen 4, Sapphire Rapids and newer
    amx,       // avx512 and AMX tiles of BF16 and INT8
};

/// The best set that this machine and its kernel offer. For `amx` this asks the kernel for the tile
/// state.
Isa best_isa();
/// All sets that this machine can run, in rising order.
std::vector<Isa> available_isas();
std::string_view name(Isa isa);
/// Error(usage) names the known sets, or says that this machine lacks the one asked for.
Isa parse_isa(std::string_view text);

}  // namespace hadal
