// One pass over memory: a tile's largest magnitude is found and its codes written while its values
// are in the first-level cache (a block of 128×128 in the second).
//
// The quotient x / scale is that of a true division, bit for bit, without one: a zmm division takes
// 16 cycles on the processors at hand, half of the time that memory needs. With r = 1 / scale
// rounded, q = x·r is within 2 units of the last place; q + r·(x − q·scale), the remainder exact in
// a fused multiply-add, is within one, and the same again is the rounded quotient (Markstein 1990).
// That holds while nothing near underflow or overflow occurs; other tiles divide.
#include "ops/cpu/quantize.h"

#include "ops/cpu/float8_simd.h"
#include "ops/cpu/matmul_store.h"

namespace hadal::ops::cpu {
namespace {

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/// Between these no step of a division by multiplication can leave the range of float32. Values of
/// a tile that are far below its largest may, but their codes are 0 whatever the last bits are.
constexpr float kTiny = 0x1p-60f;
constexpr float kHuge = 0x1p100f;

float scale_of(float amax, const ScaleRule& rule) {
    if (amax == 0) return 1;
    const float scale = amax / rule.largest;
    if (!rule.power_of_two) return scale == 0 ? 1 : scale;
    if (scale <= 0x1p-126f) return 0x1p-126f;
    const uint32_t bits = __builtin_bit_cast(uint32_t, scale);
    if (bits >= 0x7F800000u) return scale;
    return __builtin_bit_cast(float, (bits + 0x007FFFFFu) & 0x7F800000u);
}

/// x / scale for lanes of scales.
template <Isa isa>
struct Divisor {
    using V = Floats<isa>;
    V scale;
    V minus_scale;
    V reciprocal;

    explicit Divisor(V scales)
        : scale(scales), minus_scale(V::all(0) - scales), reciprocal(V::all(1) / scales) {}

    V divide(V x) const {
        if constexpr (isa == Isa::portable) return x / scale;  // no fused multiply-add
        V q = x * reciprocal;
        q = fma(fma(q, minus_scale, x), reciprocal, q);
        return fma(fma(q, minus_scale, x), reciprocal, q);
    }
};

/// The largest magnitude so far, lane by lane, and a sum that is NaN once infinity or NaN was seen.
template <class V>
struct Largest {
    V magnitude = V::all(0);
    V finite = V::all(0);

    void add(V x) {
        magnitude = max(max(x, V::all(0) - x), magnitude);
        finite = fma(x, V::all(0), finite);
    }
    bool all_finite() const {
        return sum_lanes(finite) == 0;
    }
};

/// As formats/scale_tile.cpp does it: infinity unless there is a NaN.
template <class T>
float careful_magnitude(const T* x, int64_t stride, int64_t count) {
    float largest = 0;
    for (int64_t i = 0; i < count; ++i) {
        const float magnitude = __builtin_fabsf(widen(x[i * stride]));
        if (!(magnitude <= largest)) largest = magnitude;
        if (magnitude != magnitude) return magnitude;
    }
    return largest;
}

template <Isa isa, class T>
float row_magnitude(const T* x, int64_t n) {
    using V = Floats<isa>;
    Largest<V> largest;
    for_each_vector<V>(n, [&](int64_t i, auto part) { largest.add(V::load(x + i, part)); });
    return largest.all_finite() ? max_lanes(largest.magnitude) : careful_magnitude(x, 1, n);
}

template <class Format>
constexpr float kLargestOf = Format::kDropped == 21 ? 57344.0f : 448.0f;
template <>
constexpr float kLargestOf<E5M6Format> = 65024.0f;

/// Clamps and rounds finite quotients. Signs come from the dividend: the corrections in divide()
/// turn −0 into 0.
template <class Format, class Word, class V, class Part>
void store_quotients(Word* to, V q, V x, Part part) {
    const V largest = V::all(kLargestOf<Format>);
    store_codes<Format>(to, max(V::all(-kLargestOf<Format>), min(largest, q)), x, part);
}

/// For tiles with anything unusual: true divisions, NaN looked for. A NaN's code is all ones.
template <Isa isa, class Format, class T, class Word>
void careful_codes(const T* x, int64_t x_stride, float scale, int64_t n, Word* to,
                   int64_t to_stride) {
    using V = Floats<isa>;
    for (int64_t i = 0; i < n; ++i) {
        const float q = widen(x[i * x_stride]) / scale;
        Word code;
        store_quotients<Format>(&code, V::all(q), V::all(q), cpu::Part{1});
        to[i * to_stride] = q == q ? code : Word(Format::kMask);
    }
}

bool is_usual(float amax) {
    return amax == 0 || (amax >= kTiny && amax <= kHuge);
}

/// codes = x / scale for one row of a tile.
template <Isa isa, class Format, class T, class Word>
void write_row(const T* x, int64_t n, bool usual, const Divisor<isa>& divisor, float scale,
               Word* to) {
    using V = Floats<isa>;
    if (!usual) return careful_codes<isa, Format>(x, 1, scale, n, to, 1);
    for_each_vector<V>(n, [&](int64_t i, auto part) {
        const V values = V::load(x + i, part);
        store_quotients<Format>(to + i, divisor.divide(values), values, part);
    });
}

template <Isa isa, class Format, class T, class Word>
void row_tiles(const T* x, int64_t columns, int64_t width, const ScaleRule& rule, Word* to,
               float* scale) {
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        const int64_t n = least(width, columns - j);
        const float amax = row_magnitude<isa>(x + j, n);
        *scale = scale_of(amax, rule);
        const Divisor<isa> divisor(Floats<isa>::all(*scale));
        write_row<isa, Format>(x + j, n, is_usual(amax), divisor, *scale, to + j);
    }
}

/// f.template operator()<Format>() for the codes.
template <class F>
void with_format(Code code, const F& f) {
    if (code == Code::e4m3) return f.template operator()<E4M3Format>();
    f.template operator()<E5M2Format>();
}

/// kLanes columns from `column`, all rows, each column its own tile.
template <Isa isa, class Format, class T, class Part>
void column_tiles(const QuantizedRows<T>& rows, int64_t column, Part part, const ScaleRule& rule,
                  float* scale) {
    using V = Floats<isa>;
    Largest<V> largest;
    const T* x = rows.x + column;
    for (int64_t i = 0; i < rows.rows; ++i) largest.add(V::load(x + i * rows.x_stride, part));
    float amax[V::kLanes], scales[V::kLanes];
    store(amax, largest.magnitude, Whole{});
    int64_t lanes = V::kLanes;
    if constexpr (sizeof(Part) == sizeof(cpu::Part)) lanes = part.count;
    bool usual = largest.all_finite();
    for (int64_t j = 0; j < V::kLanes; ++j) {
        if (!largest.all_finite() && j < lanes) {
            amax[j] = careful_magnitude(x + j, rows.x_stride, rows.rows);
        }
        scales[j] = scale_of(amax[j], rule);
        usual = usual && is_usual(amax[j]);
    }
    store(scale, V::load(scales, Whole{}), part);
    uint8_t* to = rows.codes + column;
    if (!usual) {
        for (int64_t j = 0; j < lanes; ++j) {
            careful_codes<isa, Format>(x + j, rows.x_stride, scales[j], rows.rows, to + j,
                                       rows.codes_stride);
        }
        return;
    }
    const Divisor<isa> divisor(V::load(scales, Whole{}));
    for (int64_t i = 0; i < rows.rows; ++i) {
        const V values = V::load(x + i * rows.x_stride, part);
        store_quotients<Format>(to + i * rows.codes_stride, divisor.divide(values), values, part);
    }
}

}  // namespace

template <Isa isa, class T>
float largest_magnitude(const QuantizedRows<T>& part) {
    float largest = 0;
    for (int64_t i = 0; i < part.rows; ++i) {
        const float magnitude = row_magnitude<isa>(part.x + i * part.x_stride, part.columns);
        if (!(magnitude <= largest)) largest = magnitude;
        if (magnitude != magnitude) return magnitude;
    }
    return largest;
}

template <Isa isa, class T>
void quantize_with(const QuantizedRows<T>& part, Code code, float scale) {
    // A largest magnitude of zero gives the scale 1.
    const bool usual = scale >= kTiny && scale <= kHuge / 65536;
    const Divisor<isa> divisor(Floats<isa>::all(scale));
    with_format(code, [&]<class Format>() {
        for (int64_t i = 0; i < part.rows; ++i) {
            write_row<isa, Format>(part.x + i * part.x_stride, part.columns, usual, divisor, scale,
                                   part.codes + i * part.codes_stride);
        }
    });
}

template <Isa isa, class T>
void quantize_row_tiles(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule,
                        float* scale, int64_t scale_stride) {
    with_format(rule.code, [&]<class Format>() {
        for (int64_t i = 0; i < part.rows; ++i) {
            row_tiles<isa, Format>(part.x + i * part.x_stride, part.columns, width, rule,
                                   part.codes + i * part.codes_stride, scale + i * scale_stride);
        }
    });
}

template <Isa isa, class T>
void quantize_column_tile(const QuantizedRows<T>& part, const ScaleRule& rule, float* scale) {
    with_format(rule.code, [&]<class Format>() {
        for_each_vector<Floats<isa>>(part.columns, [&](int64_t j, auto lanes) {
            column_tiles<isa, Format>(part, j, lanes, rule, scale + j);
        });
    });
}

template <Isa isa, class T>
void dequantize_row(const uint8_t* codes, Code code, const float* scale, int64_t width,
                    int64_t columns, T* y) {
    using V = Floats<isa>;
    const auto decode = [&]<Code chosen>() {
        for (int64_t j = 0; j < columns; j += width, ++scale) {
            const V factor = V::all(*scale);
            for_each_vector<V>(least(width, columns - j), [&](int64_t i, auto part) {
                store(y + j + i, load_codes<chosen, V>(codes + j + i, part) * factor, part);
            });
        }
    };
    if (code == Code::e4m3) return decode.template operator()<Code::e4m3>();
    decode.template operator()<Code::e5m2>();
}

template <Isa isa, class T>
void pack_e5m6_row(const T* x, int64_t width, int64_t columns, uint8_t* packed, float* scale) {
    constexpr int64_t kPiece = 128;
    const ScaleRule rule{Code::e5m2, kLargestOf<E5M6Format>, true};
    uint16_t codes[kPiece + 1];
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        const int64_t n = least(width, columns - j);
        const float amax = row_magnitude<isa>(x + j, n);
        *scale = scale_of(amax, rule);
        const Divisor<isa> divisor(Floats<isa>::all(*scale));
        for (int64_t i = 0; i < n; i += kPiece) {
            const int64_t count = least(kPiece, n - i);
            write_row<isa, E5M6Format>(x + j + i, count, is_usual(amax), divisor, *scale, codes);
            codes[count] = 0;  // the second of an odd row's last pair
            uint8_t* to = packed + (j + i) / 2 * 3;
            for (int64_t pair = 0; pair < (count + 1) / 2; ++pair, to += 3) {
                const uint32_t bits = codes[2 * pair] | uint32_t(codes[2 * pair + 1]) << 12;
                to[0] = uint8_t(bits);
                to[1] = uint8_t(bits >> 8);
                to[2] = uint8_t(bits >> 16);
            }
        }
    }
}

template <Isa isa, class T>
void unpack_e5m6_row(const uint8_t* packed, const float* scale, int64_t width, int64_t columns,
                     T* y) {
    using V = Floats<isa>;
    constexpr float kUnit = 0x1p-14f / 64;  // of subnormals
    float values[128];
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        for (int64_t i = 0; i < width && j + i < columns; i += 128) {
            const int64_t n = least(128, least(width - i, columns - j - i));
            for (int64_t l = 0; l < n; ++l) {
                const uint8_t* pair = packed + (j + i + l) / 2 * 3;
                const uint32_t bits = pair[0] | uint32_t(pair[1]) << 8 | uint32_t(pair[2]) << 16;
                const uint32_t code = bits >> (l % 2 * 12);
                const uint32_t magnitude = code & 0x7FFu;
                const float value =
                    magnitude >= 64 && magnitude < 0x7C0
                        ? __builtin_bit_cast(float, (magnitude << 17) + (112u << 23))
                    : magnitude < 64 ? float(magnitude) * kUnit
                                     : __builtin_bit_cast(float, 0x7F800000u | magnitude << 17);
                values[l] = (code & 0x800u) != 0 ? -value : value;
            }
            const V factor = V::all(*scale);
            for_each_vector<V>(n, [&](int64_t l, auto part) {
                store(y + j + i + l, V::load(values + l, part) * factor, part);
            });
        }
    }
}

constexpr Isa kThisIsa = Isa::HADAL_THIS_ISA;
#define HADAL_INSTANTIATE(T)                                                                       \
    template float largest_magnitude<kThisIsa>(const QuantizedRows<T>&);                           \
    template void quantize_with<kThisIsa>(const QuantizedRows<T>&, Code, float);                   \
    template void quantize_row_tiles<kThisIsa>(const QuantizedRows<T>&, int64_t, const ScaleRule&, \
                                               float*, int64_t);                                   \
    template void quantize_column_tile<kThisIsa>(const QuantizedRows<T>&, const ScaleRule&,        \
                                                 float*);                                          \
    template void dequantize_row<kThisIsa>(const uint8_t*, Code, const float*, int64_t, int64_t,   \
                                           T*);                                                    \
    template void pack_e5m6_row<kThisIsa>(const T*, int64_t, int64_t, uint8_t*, float*);           \
    template void unpack_e5m6_row<kThisIsa>(const uint8_t*, const float*, int64_t, int64_t, T*);
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(bf16)
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
