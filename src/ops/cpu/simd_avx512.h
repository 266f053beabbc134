// Sixteen float32 lanes. Included by simd.h only.
#pragma once

namespace hadal::ops::cpu {

template <>
struct Floats<Isa::HADAL_THIS_ISA> {
    using Scalar = float;
    static constexpr int64_t kLanes = 16;
    __m512 v;

    static __mmask16 mask(Part part) {
        return __mmask16((1u << part.count) - 1u);
    }
    static Floats all(float value) {
        return {_mm512_set1_ps(value)};
    }
    static Floats load(const float* p, Whole) {
        return {_mm512_loadu_ps(p)};
    }
    static Floats load(const float* p, Part part) {
        return {_mm512_maskz_loadu_ps(mask(part), p)};
    }
    static Floats widen(__m256i bits) {
        return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
    }
    static Floats load(const bf16* p, Whole) {
        return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Floats load(const bf16* p, Part part) {
        return widen(_mm256_maskz_loadu_epi16(mask(part), p));
    }
    friend void store(float* p, Floats a, Whole) {
        _mm512_storeu_ps(p, a.v);
    }
    friend void store(float* p, Floats a, Part part) {
        _mm512_mask_storeu_ps(p, mask(part), a.v);
    }
    /// Round to nearest even, NaN stays NaN. VCVTNEPS2BF16 does that, but takes subnormals for
    /// zero: a vector that has one goes the long way.
    static __m256i narrow(Floats a) {
        constexpr int kSubnormal = 0x20;
        if (__builtin_expect(_mm512_fpclass_ps_mask(a.v, kSubnormal) != 0, 0)) return narrow_any(a);
        return __m256i(_mm512_cvtneps_pbh(a.v));
    }
    static __m256i narrow_any(Floats a) {
        const __m512i bits = _mm512_castps_si512(a.v);
        const __m512i upper = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        const __m512i rounded = _mm512_srli_epi32(
            _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
        const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
        return _mm512_cvtepi32_epi16(
            _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40)));
    }
    friend void store(bf16* p, Floats a, Whole) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(a));
    }
    friend void store(bf16* p, Floats a, Part part) {
        _mm256_mask_storeu_epi16(p, mask(part), narrow(a));
    }
    friend Floats operator+(Floats a, Floats b) {
        return {_mm512_add_ps(a.v, b.v)};
    }
    friend Floats operator-(Floats a, Floats b) {
        return {_mm512_sub_ps(a.v, b.v)};
    }
    friend Floats operator*(Floats a, Floats b) {
        return {_mm512_mul_ps(a.v, b.v)};
    }
    friend Floats operator/(Floats a, Floats b) {
        return {_mm512_div_ps(a.v, b.v)};
    }
    friend Floats fma(Floats a, Floats b, Floats c) {
        return {_mm512_fmadd_ps(a.v, b.v, c.v)};
    }
    /// A NaN in either gives b.
    friend Floats max(Floats a, Floats b) {
        return {_mm512_max_ps(a.v, b.v)};
    }
    friend Floats min(Floats a, Floats b) {
        return {_mm512_min_ps(a.v, b.v)};
    }
    friend Floats square_root(Floats a) {
        return {_mm512_sqrt_ps(a.v)};
    }
    /// a·2^k for integral k in [−152, 130], rounded once.
    friend Floats scale(Floats a, Floats k) {
        return {_mm512_scalef_ps(a.v, k.v)};
    }
    /// Pairs (a, b) of x turned by pairs (cos, sin): (a·cos − b·sin, b·cos + a·sin).
    friend Floats turn_pairs(Floats x, Floats cos_sin) {
        const __m512 cosine = _mm512_moveldup_ps(cos_sin.v);
        const __m512 sine = _mm512_movehdup_ps(cos_sin.v);
        const __m512 swapped = _mm512_permute_ps(x.v, 0xB1);
        return {_mm512_fmaddsub_ps(x.v, cosine, _mm512_mul_ps(swapped, sine))};
    }
    friend Floats turn_pairs_back(Floats x, Floats cos_sin) {
        const __m512 cosine = _mm512_moveldup_ps(cos_sin.v);
        const __m512 sine = _mm512_movehdup_ps(cos_sin.v);
        const __m512 swapped = _mm512_permute_ps(x.v, 0xB1);
        return {_mm512_fmsubadd_ps(x.v, cosine, _mm512_mul_ps(swapped, sine))};
    }
    /// Halves are added until one lane is left.
    friend float sum_lanes(Floats a) {
        const __m256 half =
            _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
        const __m128 quarter =
            _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
        const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
        return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
    }
    friend float max_lanes(Floats a) {
        return _mm512_reduce_max_ps(a.v);
    }
    friend Floats select(Whole, Floats a, Floats) {
        return a;
    }
    friend Floats select(Part part, Floats a, Floats other) {
        return {_mm512_mask_mov_ps(other.v, mask(part), a.v)};
    }
};

template <>
struct SquareSum<Isa::HADAL_THIS_ISA> {
    __m512d low = _mm512_setzero_pd();
    __m512d high = _mm512_setzero_pd();

    void add(Floats<Isa::HADAL_THIS_ISA> a) {
        const __m512d first = _mm512_cvtps_pd(_mm512_castps512_ps256(a.v));
        const __m512d second = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1));
        low = _mm512_fmadd_pd(first, first, low);
        high = _mm512_fmadd_pd(second, second, high);
    }
    double total() const {
        alignas(64) double lanes[8];
        _mm512_store_pd(lanes, _mm512_add_pd(low, high));
        return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
               ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    }
};

}  // namespace hadal::ops::cpu
