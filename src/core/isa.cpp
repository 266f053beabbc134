#include "core/isa.h"

#include <array>
#include <string>

#include "core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hadal {

namespace {

constexpr std::array kAll = {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx};

#if defined(__x86_64__)
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("gfni");
}

bool has_amx() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
    if ((edx & (kBf16 | kTile | kInt8)) != (kBf16 | kTile | kInt8)) return false;
    // The tile registers are 8 KiB of state that Linux grants a process only on request.
    constexpr int kArchReqXcompPerm = 0x1023, kXfeatureTileData = 18;
    return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
}
#endif

}  // namespace

Isa best_isa() {
#if defined(__x86_64__)
    static const Isa best = [] {
        if (!has_avx2()) return Isa::portable;
        if (!has_avx512()) return Isa::avx2;
        return has_amx() ? Isa::amx : Isa::avx512;
    }();
    return best;
#else
    return Isa::portable;
#endif
}

std::vector<Isa> available_isas() {
    std::vector<Isa> isas;
    for (const Isa isa : kAll) {
        if (isa <= best_isa()) isas.push_back(isa);
    }
    return isas;
}

std::string_view name(Isa isa) {
    switch (isa) {
        case Isa::portable:
            return "portable";
        case Isa::avx2:
            return "avx2";
        case Isa::avx512:
            return "avx512";
        case Isa::amx:
            return "amx";
    }
    return "?";
}

Isa parse_isa(std::string_view text) {
    for (const Isa isa : kAll) {
        if (name(isa) != text) continue;
        if (isa > best_isa()) {
            throw Error(Error::Kind::usage,
                        concat("instruction set '", text,
                               "' is not on this machine (best here: ", name(best_isa()), ")"));
        }
        return isa;
    }
    throw Error(Error::Kind::usage, concat("unknown instruction set '", text,
                                           "' (one of portable, avx2, avx512, amx)"));
}

}  // namespace hadal
