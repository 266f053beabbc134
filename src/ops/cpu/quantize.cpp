// One pass over memory: a tile's largest magnitude is found and its codes written while its values
// are in the first-level cache (a block of 128×128 in the second).
//
// The code of the quotient x / scale is that of a true division, without one: a zmm division takes
// 16 cycles on the processors at hand, half of the time that memory needs. With r = 1 / scale
// rounded, q = x·r is within 2 units of the last place, and q + r·(x − q·scale), the remainder
// exact in a fused multiply-add, is the rounded quotient but for rare last bits (Markstein 1990).
// None of these lies at a tie between two codes: x at every tie of five bits, and two units of its
// last place around, was tried with all 2²³ fractions of a scale. That holds while nothing near
// underflow or overflow occurs; other tiles divide.
#include "ops/cpu/quantize.h"

#include "ops/cpu/float8_simd.h"
#include "ops/cpu/matmul_store.h"
#include "ops/cpu/quantize512.h"
#include "ops/cpu/scale_rule.h"

namespace hadal::ops::cpu {
namespace {

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/// x / scale for lanes of scales, near enough to round to a code.
template <Isa isa>
struct Divisor {
    using V = Floats<isa>;
    V scale;
    V minus_scale;
    V reciprocal;

    Divisor() = default;
    explicit Divisor(V scales)
        : scale(scales), minus_scale(V::all(0) - scales), reciprocal(V::all(1) / scales) {}

    V divide(V x) const {
        if constexpr (isa == Isa::portable) return x / scale;  // no fused multiply-add
        const V q = x * reciprocal;
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

#if defined(__AVX512F__)

/// The largest magnitude, NaN if there is one: compared as integers NaN is above infinity.
template <Isa>
float magnitude_of(const float* x, int64_t stride, int64_t rows, int64_t columns) {
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i largest[4] = {};
    for (int64_t i = 0; i < rows; ++i, x += stride) {
        int64_t j = 0;
        for (; j + 64 <= columns; j += 64) {
#pragma GCC unroll 4
            for (int h = 0; h < 4; ++h) {
                const __m512i bits = _mm512_loadu_si512(x + j + 16 * h);
                largest[h] = _mm512_max_epu32(largest[h], _mm512_and_si512(bits, magnitude));
            }
        }
        for (; j < columns; j += 16) {
            const auto lanes = __mmask16(first_words(columns - j));
            const __m512i bits = _mm512_maskz_loadu_epi32(lanes, x + j);
            largest[0] = _mm512_max_epu32(largest[0], _mm512_and_si512(bits, magnitude));
        }
    }
    const __m512i all = _mm512_max_epu32(_mm512_max_epu32(largest[0], largest[1]),
                                         _mm512_max_epu32(largest[2], largest[3]));
    return __builtin_bit_cast(float, _mm512_reduce_max_epu32(all));
}
template <Isa>
float magnitude_of(const bf16* x, int64_t stride, int64_t rows, int64_t columns) {
    return __builtin_bit_cast(float, uint32_t(largest_bits(x, stride, rows, columns)) << 16);
}

#else

template <Isa isa, class T>
float magnitude_of(const T* x, int64_t stride, int64_t rows, int64_t columns) {
    using V = Floats<isa>;
    Largest<V> largest;
    for (int64_t i = 0; i < rows; ++i) {
        for_each_vector<V>(
            columns, [&](int64_t j, auto part) { largest.add(V::load(x + i * stride + j, part)); });
    }
    if (largest.all_finite()) return max_lanes(largest.magnitude);
    float careful = 0;
    for (int64_t i = 0; i < rows; ++i) {
        const float of_row = careful_magnitude(x + i * stride, 1, columns);
        if (!(of_row <= careful)) careful = of_row;
        if (of_row != of_row) return of_row;
    }
    return careful;
}

#endif

/// For tiles with anything unusual: true divisions, NaN looked for. A NaN's code is all ones.
template <Isa isa, class Format, class T, class Word>
void careful_codes(const T* x, int64_t x_stride, float scale, int64_t n, Word* to,
                   int64_t to_stride) {
    using V = Floats<isa>;
    for (int64_t i = 0; i < n; ++i) {
        const float q = widen(x[i * x_stride]) / scale;
        const V largest = V::all(largest_value<Format>());
        const V clamped = max(V::all(-largest_value<Format>()), min(largest, V::all(q)));
        Word code;
        store_codes<Format>(&code, clamped, V::all(q), cpu::Part{1});
        to[i * to_stride] = q == q ? code : Word(Format::kMask);
    }
}

/// codes = x / scale for one row of a tile. No quotient is above the largest value by more than
/// rounding, which takes it there. Signs come from the dividend: the corrections in divide() turn
/// −0 into 0.
template <Isa isa, class Format, class T, class Word>
void write_row(const T* x, int64_t n, bool usual, const Divisor<isa>& divisor, float scale,
               Word* to) {
    using V = Floats<isa>;
    if (!usual) return careful_codes<isa, Format>(x, 1, scale, n, to, 1);
    for_each_vector<V>(n, [&](int64_t i, auto part) {
        const V values = V::load(x + i, part);
        store_codes<Format>(to + i, divisor.divide(values), values, part);
    });
}

#if defined(__AVX512VBMI__)

/// A row of a tile by look-ups; where a value is too small for that, 64 by arithmetic.
template <Isa isa, class Format>
void write_row(const bf16* x, int64_t n, const Quotients512<Format>& quotients, float scale,
               uint8_t* to) {
    for (int64_t i = 0; i < n; i += 64) {
        const int64_t count = least(64, n - i);
        const bool written =
            count == 64 ? quotients.write_64(x + i, to + i) : quotients.write(x + i, count, to + i);
        if (__builtin_expect(written, 1)) continue;
        const Divisor<isa> divisor(Floats<isa>::all(scale));
        write_row<isa, Format>(x + i, count, true, divisor, scale, to + i);
    }
}

#endif

/// Writes rows of one tile, whose largest magnitude is known.
template <Isa isa, class Format, class T>
class TileWriter {
  public:
    TileWriter() = default;
    TileWriter(float amax, const ScaleRule& rule)
        : scale_(scale_of(amax, rule)), usual_(is_usual(amax)), divisor_(Floats<isa>::all(scale_)) {
#if defined(__AVX512VBMI__)
        looks_up_ = sizeof(T) == sizeof(bf16) && amax != 0 && usual_;
        if (!looks_up_) return;
        quotients_ = {uint16_t(__builtin_bit_cast(uint32_t, amax) >> 16), scale_,
                      rule.power_of_two};
#endif
    }

    float scale() const {
        return scale_;
    }

    void write(const T* x, int64_t n, uint8_t* to) const {
#if defined(__AVX512VBMI__)
        if constexpr (sizeof(T) == sizeof(bf16)) {
            if (looks_up_) return write_row<isa>(x, n, quotients_, scale_, to);
        }
#endif
        write_row<isa, Format>(x, n, usual_, divisor_, scale_, to);
    }

  private:
    float scale_ = 1;
    bool usual_ = false;
    Divisor<isa> divisor_;
#if defined(__AVX512VBMI__)
    bool looks_up_ = false;
    Quotients512<Format> quotients_;
#endif
};

/// A tile of one row; returns its scale.
template <Isa isa, class Format, class T>
float write_row_tile(const T* x, int64_t n, const ScaleRule& rule, uint8_t* to) {
    const TileWriter<isa, Format, T> writer(magnitude_of<isa>(x, n, 1, n), rule);
    writer.write(x, n, to);
    return writer.scale();
}

/// Asks for a row's lines.
template <bool for_writing, class T>
void fetch(const T* row, int64_t count) {
    constexpr int64_t kLine = 64 / int64_t(sizeof(T));
    for (int64_t j = 0; j < count; j += kLine) __builtin_prefetch(row + j, for_writing, 3);
}

/// Up to kBlocksAtOnce tiles side by side: their rows are read together, since memory gives long
/// runs sooner than short ones, and again from the second-level cache.
constexpr int64_t kBlocksAtOnce = 8;

template <Isa isa, class Format, class T>
void block_tiles(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule, float* scale) {
    constexpr int64_t kRows = 4;  // at a time
    const int64_t blocks = (part.columns + width - 1) / width;
    const auto width_of = [&](int64_t b) { return least(width, part.columns - b * width); };
    float amax[kBlocksAtOnce] = {};
    for (int64_t i = 0; i < part.rows; i += kRows) {
        const T* x = part.x + i * part.x_stride;
        const int64_t rows = least(kRows, part.rows - i);
        for (int64_t r = kRows; r < 2 * kRows && i + r < part.rows; ++r) {
            fetch<false>(x + r * part.x_stride, part.columns);
        }
        for (int64_t b = 0; b < blocks; ++b) {
            const float largest =
                magnitude_of<isa>(x + b * width, part.x_stride, rows, width_of(b));
            if (!(largest <= amax[b]) && amax[b] == amax[b]) amax[b] = largest;  // NaN remains
        }
    }
    TileWriter<isa, Format, T> writers[kBlocksAtOnce];
    for (int64_t b = 0; b < blocks; ++b) {
        writers[b] = {amax[b], rule};
        scale[b] = writers[b].scale();
    }
    for (int64_t i = 0; i < part.rows; ++i) {
        uint8_t* to = part.codes + i * part.codes_stride;
        if (i + kRows < part.rows) fetch<true>(to + kRows * part.codes_stride, part.columns);
        for (int64_t b = 0; b < blocks; ++b) {
            writers[b].write(part.x + i * part.x_stride + b * width, width_of(b), to + b * width);
        }
    }
}

template <Isa isa, class Format, class T>
void row_tiles(const T* x, int64_t columns, int64_t width, const ScaleRule& rule, uint8_t* to,
               float* scale) {
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        const int64_t n = least(width, columns - j);
#if defined(__AVX512VBMI__)
        if constexpr (sizeof(T) == sizeof(bf16)) {
            if (n == 128 && write_row_tile_128<Format>(x + j, rule, to + j, scale)) continue;
        }
#endif
        *scale = write_row_tile<isa, Format>(x + j, n, rule, to + j);
    }
}

#if defined(__AVX512F__)

/// 16-bit codes, two by two, to three bytes each.
void pack_pairs(const uint16_t* codes, int64_t pairs, uint8_t* to) {
    alignas(64) uint8_t order[64] = {};
    for (int i = 0; i < 48; ++i) order[i] = uint8_t(i / 3 * 4 + i % 3);
    const __m512i bytes = _mm512_load_si512(order);
    for (; pairs > 0; pairs -= 16, codes += 32, to += 48) {
        const int64_t count = least(pairs, 16);
        const __m512i both = _mm512_maskz_loadu_epi32(__mmask16((1u << count) - 1), codes);
        const __m512i first = _mm512_and_si512(both, _mm512_set1_epi32(0xFFF));
        const __m512i second = _mm512_slli_epi32(_mm512_srli_epi32(both, 16), 12);
        _mm512_mask_storeu_epi8(to, (1ull << 3 * count) - 1,
                                _mm512_permutexvar_epi8(bytes, _mm512_or_si512(first, second)));
    }
}

/// The values of up to eight pairs: a code is the upper part of a binary16.
template <class V>
V unpack_pairs(const uint8_t* from, int64_t pairs) {
    const __m512i bytes = _mm512_maskz_loadu_epi8((1ull << 3 * pairs) - 1, from);
    const __m512i order = _mm512_setr_epi32(  // three bytes for each of a pair
        0x020100, 0x020100, 0x050403, 0x050403, 0x080706, 0x080706, 0x0B0A09, 0x0B0A09, 0x0E0D0C,
        0x0E0D0C, 0x11100F, 0x11100F, 0x141312, 0x141312, 0x171615, 0x171615);
    const __m512i pair = _mm512_permutexvar_epi8(order, bytes);
    const __m512i shifts = _mm512_set1_epi64(int64_t(12) << 32);
    const __m512i half = _mm512_slli_epi32(_mm512_srlv_epi32(pair, shifts), 4);
    return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(half))};
}

#else

void pack_pairs(const uint16_t* codes, int64_t pairs, uint8_t* to) {
    for (int64_t i = 0; i < pairs; ++i, to += 3) {
        const uint32_t bits = codes[2 * i] | uint32_t(codes[2 * i + 1]) << 12;
        to[0] = uint8_t(bits);
        to[1] = uint8_t(bits >> 8);
        to[2] = uint8_t(bits >> 16);
    }
}

/// One value. Of the two readings of its bits, the arithmetic one serves subnormals.
float unpack(uint32_t code) {
    constexpr float kUnit = 0x1p-20f;
    const uint32_t magnitude = code & 0x7FFu;
    const uint32_t exponent = magnitude < 0x7C0u ? 112u << 23 : 224u << 23;
    const float normal = __builtin_bit_cast(float, (magnitude << 17) + exponent);
    const float value = magnitude < 64 ? float(magnitude) * kUnit : normal;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value) | (code & 0x800u) << 20);
}

template <class V>
V unpack_pairs(const uint8_t* from, int64_t pairs) {
    float values[V::kLanes] = {};
    for (int64_t i = 0; i < pairs; ++i, from += 3) {
        const uint32_t bits = from[0] | uint32_t(from[1]) << 8 | uint32_t(from[2]) << 16;
        values[2 * i] = unpack(bits);
        values[2 * i + 1] = unpack(bits >> 12);
    }
    return V::load(values, Whole{});
}

#endif

/// f.template operator()<Format>() for the codes.
template <class F>
void with_format(Code code, const F& f) {
    if (code == Code::e4m3) return f.template operator()<E4M3Format>();
    f.template operator()<E5M2Format>();
}

/// Columns from `column`, all rows, each column its own tile: `vectors` of them side by side, so
/// that whole lines are written where rows lie a power of two apart. Returns whether all was usual.
template <Isa isa, int vectors, class T, class Part>
bool column_scales(const QuantizedRows<T>& rows, int64_t column, Part part, const ScaleRule& rule,
                   float* scales) {
    using V = Floats<isa>;
    Largest<V> largest[vectors];
    const T* x = rows.x + column;
    for (int64_t i = 0; i < rows.rows; ++i) {
        for (int j = 0; j < vectors; ++j) {
            largest[j].add(V::load(x + i * rows.x_stride + j * V::kLanes, part));
        }
    }
    bool usual = true;
    for (int j = 0; j < vectors; ++j) {
        float amax[V::kLanes];
        store(amax, largest[j].magnitude, Whole{});
        for (int64_t l = 0; l < V::kLanes; ++l) {
            const int64_t at = j * V::kLanes + l;
            if (!largest[j].all_finite() && column + at < rows.columns) {
                amax[l] = careful_magnitude(x + at, rows.x_stride, rows.rows);
            }
            scales[at] = scale_of(amax[l], rule);
            usual = usual && is_usual(amax[l]);
        }
    }
    return usual;
}

template <Isa isa, class Format, int vectors, class T, class Part>
void column_tiles(const QuantizedRows<T>& rows, int64_t column, Part part, const ScaleRule& rule,
                  float* scale) {
    using V = Floats<isa>;
    float scales[vectors * V::kLanes];
    const bool usual = column_scales<isa, vectors>(rows, column, part, rule, scales);
    const T* x = rows.x + column;
    uint8_t* to = rows.codes + column;
    for (int j = 0; j < vectors; ++j) {
        store(scale + j * V::kLanes, V::load(scales + j * V::kLanes, Whole{}), part);
    }
    if (!usual) {
        for (int64_t j = 0; j < vectors * V::kLanes && column + j < rows.columns; ++j) {
            careful_codes<isa, Format>(x + j, rows.x_stride, scales[j], rows.rows, to + j,
                                       rows.codes_stride);
        }
        return;
    }
    Divisor<isa> divisors[vectors];
    for (int64_t j = 0; j < vectors; ++j) {
        divisors[j] = Divisor<isa>(V::load(scales + j * V::kLanes, Whole{}));
    }
    for (int64_t i = 0; i < rows.rows; ++i, x += rows.x_stride, to += rows.codes_stride) {
#pragma GCC unroll 4
        for (int64_t j = 0; j < vectors; ++j) {
            const V values = V::load(x + j * V::kLanes, part);
            store_codes<Format>(to + j * V::kLanes, divisors[j].divide(values), values, part);
        }
    }
}

/// Of at most kCodeStrip columns.
template <Isa isa>
void requantize_strip(const CodeColumns& part, const ScaleRule& rule, float* scale,
                      float* scratch) {
#if defined(__AVX512VBMI__)
    bool done = false;
    with_format(rule.code, [&]<class Format>() {
        done = ColumnRequantizer512<Format>(part, rule, scratch).run(scale);
    });
    if (done) return;
#endif
    // Rows a little more than a power of two apart: a column must not fall on few sets of the
    // cache.
    for (int64_t i = 0; i < part.rows; ++i) {
        dequantize_row<isa>(part.codes + i * part.codes_stride, part.code,
                            part.row_scale + i * part.row_scale_stride, part.columns, part.columns,
                            scratch + i * kRequantizeFloats);
    }
    quantize_column_tile<isa, float>(
        {scratch, kRequantizeFloats, part.to, part.to_stride, part.rows, part.columns}, rule,
        scale);
}

}  // namespace

template <Isa isa, class T>
void quantize_blocks(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule,
                     float* scale) {
    with_format(rule.code, [&]<class Format>() {
        for (int64_t j = 0; j < part.columns; j += kBlocksAtOnce * width) {
            QuantizedRows<T> some = part;
            some.x += j;
            some.codes += j;
            some.columns = least(kBlocksAtOnce * width, part.columns - j);
            block_tiles<isa, Format>(some, width, rule, scale + j / width);
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
        constexpr int kVectors = 4;
        constexpr int64_t kWide = kVectors * Floats<isa>::kLanes;
        int64_t column = 0;
        for (; column + kWide <= part.columns; column += kWide) {
            column_tiles<isa, Format, kVectors>(part, column, Whole{}, rule, scale + column);
        }
        for_each_vector<Floats<isa>>(part.columns - column, [&](int64_t j, auto lanes) {
            column_tiles<isa, Format, 1>(part, column + j, lanes, rule, scale + column + j);
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

template <Isa isa>
void requantize_column_tile(const CodeColumns& part, const ScaleRule& rule, float* scale,
                            float* scratch) {
    CodeColumns strip = part;
    for (int64_t j = 0; j < part.columns; j += kCodeStrip) {
        strip.codes = part.codes + j;
        strip.row_scale = part.row_scale + (part.column_in_tile + j) / part.tile_width;
        strip.to = part.to + j;
        strip.columns = least(kCodeStrip, part.columns - j);
        requantize_strip<isa>(strip, rule, scale + j, scratch);
    }
}

template <Isa isa, class T>
void pack_e5m6_row(const T* x, int64_t width, int64_t columns, uint8_t* packed, float* scale) {
    constexpr int64_t kPiece = 128;
    const ScaleRule rule{Code::e5m2, largest_value<E5M6Format>(), true};
    uint16_t codes[kPiece + 1];
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        const int64_t n = least(width, columns - j);
        const float amax = magnitude_of<isa>(x + j, n, 1, n);
        *scale = scale_of(amax, rule);
        int64_t i = 0;
#if defined(__AVX512VBMI__)
        if constexpr (sizeof(T) == sizeof(bf16)) {
            const bool usual = amax != 0 && is_usual(amax);
            while (usual && i + 32 <= n &&
                   pack_e5m6_32(x + j + i, *scale, packed + (j + i) / 2 * 3)) {
                i += 32;
            }
        }
#endif
        const Divisor<isa> divisor(Floats<isa>::all(*scale));
        for (; i < n; i += kPiece) {
            const int64_t count = least(kPiece, n - i);
            write_row<isa, E5M6Format>(x + j + i, count, is_usual(amax), divisor, *scale, codes);
            codes[count] = 0;  // the second of an odd row's last pair
            pack_pairs(codes, (count + 1) / 2, packed + (j + i) / 2 * 3);
        }
    }
}

template <Isa isa, class T>
void unpack_e5m6_row(const uint8_t* packed, const float* scale, int64_t width, int64_t columns,
                     T* y) {
    using V = Floats<isa>;
    for (int64_t j = 0; j < columns; j += width, ++scale) {
        const V factor = V::all(*scale);
        for_each_vector<V>(least(width, columns - j), [&](int64_t i, auto part) {
            int64_t count = V::kLanes;
            if constexpr (sizeof(part) == sizeof(cpu::Part)) count = part.count;
            const V values = unpack_pairs<V>(packed + (j + i) / 2 * 3, (count + 1) / 2);
            store(y + j + i, values * factor, part);
        });
    }
}

constexpr Isa kThisIsa = Isa::HADAL_THIS_ISA;
#define HADAL_INSTANTIATE(T)                                                                       \
    template void quantize_blocks<kThisIsa>(const QuantizedRows<T>&, int64_t, const ScaleRule&,    \
                                            float*);                                               \
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
template void requantize_column_tile<kThisIsa>(const CodeColumns&, const ScaleRule&, float*,
                                               float*);
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
