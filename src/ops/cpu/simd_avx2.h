// Eight float32 lanes. Included by simd.h only.
#pragma once

namespace hadal::ops::cpu {

template <>
struct Floats<Isa::HADAL_THIS_ISA> {
    using Scalar = float;
    static constexpr int64_t kLanes = 8;
    __m256 v;

    static __m256i mask(Part part) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(part.count)),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    static Floats all(float value) {
        return {_mm256_set1_ps(value)};
    }
    static Floats load(const float* p, Whole) {
        return {_mm256_loadu_ps(p)};
    }
    static Floats load(const float* p, Part part) {
        return {_mm256_maskload_ps(p, mask(part))};
    }
    static Floats widen(__m128i bits) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
    }
    static Floats load(const bf16* p, Whole) {
        return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Floats load(const bf16* p, Part part) {  // no masked load of 16-bit values here
        alignas(16) bf16 lanes[kLanes] = {};
        for (int64_t i = 0; i < part.count; ++i) lanes[i] = p[i];
        return load(lanes, Whole{});
    }
    friend void store(float* p, Floats a, Whole) {
        _mm256_storeu_ps(p, a.v);
    }
    friend void store(float* p, Floats a, Part part) {
        _mm256_maskstore_ps(p, mask(part), a.v);
    }
    /// Round to nearest even, NaN stays NaN.
    static __m128i narrow(Floats a) {
        const __m256i bits = _mm256_castps_si256(a.v);
        const __m256i upper = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
        const __m256i rounded = _mm256_srli_epi32(
            _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
        const __m256i chosen =
            _mm256_blendv_epi8(rounded, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), nan);
        return _mm_packus_epi32(_mm256_castsi256_si128(chosen),
                                _mm256_extracti128_si256(chosen, 1));
    }
    friend void store(bf16* p, Floats a, Whole) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(a));
    }
    friend void store(bf16* p, Floats a, Part part) {
        alignas(16) bf16 lanes[kLanes];
        store(lanes, a, Whole{});
        for (int64_t i = 0; i < part.count; ++i) p[i] = lanes[i];
    }
    friend Floats operator+(Floats a, Floats b) {
        return {_mm256_add_ps(a.v, b.v)};
    }
    friend Floats operator-(Floats a, Floats b) {
        return {_mm256_sub_ps(a.v, b.v)};
    }
    friend Floats operator*(Floats a, Floats b) {
        return {_mm256_mul_ps(a.v, b.v)};
    }
    friend Floats operator/(Floats a, Floats b) {
        return {_mm256_div_ps(a.v, b.v)};
    }
    friend Floats fma(Floats a, Floats b, Floats c) {
        return {_mm256_fmadd_ps(a.v, b.v, c.v)};
    }
    /// A NaN in either gives b.
    friend Floats max(Floats a, Floats b) {
        return {_mm256_max_ps(a.v, b.v)};
    }
    friend Floats min(Floats a, Floats b) {
        return {_mm256_min_ps(a.v, b.v)};
    }
    friend Floats square_root(Floats a) {
        return {_mm256_sqrt_ps(a.v)};
    }
    /// a·2^k for integral k in [−152, 130]. Two factors, so that neither leaves the normal range.
    friend Floats scale(Floats a, Floats k) {
        const __m256i whole = _mm256_cvtps_epi32(k.v);
        const __m256i half = _mm256_srai_epi32(whole, 1);
        const __m256i rest = _mm256_sub_epi32(whole, half);
        const __m256i bias = _mm256_set1_epi32(127);
        const __m256 first =
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
        const __m256 second =
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
        return {_mm256_mul_ps(_mm256_mul_ps(a.v, first), second)};
    }
    /// Pairs (a, b) of x turned by pairs (cos, sin): (a·cos − b·sin, b·cos + a·sin).
    friend Floats turn_pairs(Floats x, Floats cos_sin) {
        const __m256 cosine = _mm256_moveldup_ps(cos_sin.v);
        const __m256 sine = _mm256_movehdup_ps(cos_sin.v);
        const __m256 swapped = _mm256_permute_ps(x.v, 0xB1);
        return {_mm256_fmaddsub_ps(x.v, cosine, _mm256_mul_ps(swapped, sine))};
    }
    friend Floats turn_pairs_back(Floats x, Floats cos_sin) {
        const __m256 cosine = _mm256_moveldup_ps(cos_sin.v);
        const __m256 sine = _mm256_movehdup_ps(cos_sin.v);
        const __m256 swapped = _mm256_permute_ps(x.v, 0xB1);
        return {_mm256_fmsubadd_ps(x.v, cosine, _mm256_mul_ps(swapped, sine))};
    }
    /// Halves are added until one lane is left.
    friend float sum_lanes(Floats a) {
        const __m128 half = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
    }
    friend float max_lanes(Floats a) {
        const __m128 half = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
    }
    friend Floats select(Whole, Floats a, Floats) {
        return a;
    }
    friend Floats select(Part part, Floats a, Floats other) {
        return {_mm256_blendv_ps(other.v, a.v, _mm256_castsi256_ps(mask(part)))};
    }
};

template <>
struct SquareSum<Isa::HADAL_THIS_ISA> {
    __m256d low = _mm256_setzero_pd();
    __m256d high = _mm256_setzero_pd();

    void add(Floats<Isa::HADAL_THIS_ISA> a) {
        const __m256d first = _mm256_cvtps_pd(_mm256_castps256_ps128(a.v));
        const __m256d second = _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1));
        low = _mm256_fmadd_pd(first, first, low);
        high = _mm256_fmadd_pd(second, second, high);
    }
    double total() const {
        alignas(32) double lanes[4];
        _mm256_store_pd(lanes, _mm256_add_pd(low, high));
        return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
};

}  // namespace hadal::ops::cpu
