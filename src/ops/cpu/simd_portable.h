// Four float32 lanes in the compiler's own vectors: any machine. Included by simd.h only.
#pragma once

namespace hadal::ops::cpu {

template <>
struct Floats<Isa::HADAL_THIS_ISA> {
    using Scalar = float;
    using Lanes = float __attribute__((vector_size(16)));
    using Words = int32_t __attribute__((vector_size(16)));
    using Bits = uint32_t __attribute__((vector_size(16)));
    using Halves = uint16_t __attribute__((vector_size(8)));
    static constexpr int64_t kLanes = 4;
    Lanes v;

    static Floats all(float value) {
        return {Lanes{value, value, value, value}};
    }
    static Floats load(const float* p, Whole) {
        Floats a;
        __builtin_memcpy(&a.v, p, sizeof(a.v));
        return a;
    }
    static Floats load(const bf16* p, Whole) {
        Halves halves;
        __builtin_memcpy(&halves, p, sizeof(halves));
        return {(Lanes)(__builtin_convertvector(halves, Bits) << 16)};
    }
    template <class T>
    static Floats load(const T* p, Part part) {
        T lanes[kLanes] = {};
        for (int64_t i = 0; i < part.count; ++i) lanes[i] = p[i];
        return load(lanes, Whole{});
    }
    friend void store(float* p, Floats a, Whole) {
        __builtin_memcpy(p, &a.v, sizeof(a.v));
    }
    /// Round to nearest even, NaN stays NaN.
    friend void store(bf16* p, Floats a, Whole) {
        const Bits bits = (Bits)a.v;
        const Bits upper = bits >> 16;
        const Bits rounded = (bits + (upper & 1) + 0x7FFF) >> 16;
        const Bits nan = (Bits)(a.v != a.v);
        const Bits chosen = (nan & (upper | 0x40)) | (~nan & rounded);
        const Halves halves = __builtin_convertvector(chosen, Halves);
        __builtin_memcpy(p, &halves, sizeof(halves));
    }
    template <class T>
    friend void store(T* p, Floats a, Part part) {
        T lanes[kLanes];
        store(lanes, a, Whole{});
        for (int64_t i = 0; i < part.count; ++i) p[i] = lanes[i];
    }
    friend Floats operator+(Floats a, Floats b) {
        return {a.v + b.v};
    }
    friend Floats operator-(Floats a, Floats b) {
        return {a.v - b.v};
    }
    friend Floats operator*(Floats a, Floats b) {
        return {a.v * b.v};
    }
    friend Floats operator/(Floats a, Floats b) {
        return {a.v / b.v};
    }
    friend Floats fma(Floats a, Floats b, Floats c) {
        return {a.v * b.v + c.v};
    }
    /// A NaN in either gives b.
    friend Floats max(Floats a, Floats b) {
        return {a.v > b.v ? a.v : b.v};
    }
    friend Floats min(Floats a, Floats b) {
        return {a.v < b.v ? a.v : b.v};
    }
    friend Floats square_root(Floats a) {
        for (int i = 0; i < kLanes; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
        return a;
    }
    /// a·2^k for integral k in [−152, 130]. Two factors, so that neither leaves the normal range.
    friend Floats scale(Floats a, Floats k) {
        // A NaN has no integer; any will do, a is NaN too.
        const Lanes number = k.v == k.v ? k.v : Lanes{};
        const Words whole = __builtin_convertvector(number, Words);
        const Words half = whole >> 1;
        const Words rest = whole - half;
        return {a.v * (Lanes)((half + 127) << 23) * (Lanes)((rest + 127) << 23)};
    }
    /// Pairs (a, b) of x turned by pairs (cos, sin): (a·cos − b·sin, b·cos + a·sin).
    friend Floats turn_pairs(Floats x, Floats cos_sin) {
        const Lanes sine{-cos_sin.v[1], cos_sin.v[1], -cos_sin.v[3], cos_sin.v[3]};
        const Lanes cosine = __builtin_shufflevector(cos_sin.v, cos_sin.v, 0, 0, 2, 2);
        return {x.v * cosine + __builtin_shufflevector(x.v, x.v, 1, 0, 3, 2) * sine};
    }
    friend Floats turn_pairs_back(Floats x, Floats cos_sin) {
        const Lanes sine{cos_sin.v[1], -cos_sin.v[1], cos_sin.v[3], -cos_sin.v[3]};
        const Lanes cosine = __builtin_shufflevector(cos_sin.v, cos_sin.v, 0, 0, 2, 2);
        return {x.v * cosine + __builtin_shufflevector(x.v, x.v, 1, 0, 3, 2) * sine};
    }
    /// Halves are added until one lane is left.
    friend float sum_lanes(Floats a) {
        return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
    }
    friend float max_lanes(Floats a) {
        const float low = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
        const float high = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
        return low > high ? low : high;
    }
    friend Floats select(Whole, Floats a, Floats) {
        return a;
    }
    friend Floats select(Part part, Floats a, Floats other) {
        for (int64_t i = part.count; i < kLanes; ++i) a.v[i] = other.v[i];
        return a;
    }
};

template <>
struct SquareSum<Isa::HADAL_THIS_ISA> {
    double sums[4] = {0, 0, 0, 0};

    void add(Floats<Isa::HADAL_THIS_ISA> a) {
        for (int i = 0; i < 4; ++i) sums[i] += double(a.v[i]) * double(a.v[i]);
    }
    double total() const {
        return (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
};

}  // namespace hadal::ops::cpu
