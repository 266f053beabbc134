// What is lost when AdamW keeps its two means in bf16.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/random.h"
#include "formats/bfloat16.h"
#include "optim/adamw.h"

using namespace hadal;

namespace {

constexpr int64_t kSize = 257;
constexpr double kRate = 1e-3;
constexpr double kRoundoff = 0x1p-8;  // of bf16

/// One parameter of its own, trained by gradients that the test makes up.
struct Problem {
    explicit Problem(DType moments, double weight_decay = 0)
        : adamw(context, parameters(), {.weight_decay = weight_decay, .moments = moments}) {}

    std::vector<optim::OptimizedParameter> parameters() {
        for (size_t i = 0; i < size_t(kSize); ++i) {
            weights.values<float>()[i] = float(random_normal(1, 0, i));
        }
        return {{.name = "w", .parameter = weights, .gradient = gradient, .decay = true}};
    }
    void step() {
        adamw.step(context, kRate, 1);
    }

    ThreadPool pool{1};
    Workspace workspace;
    Context context{pool, workspace};
    Tensor weights = Tensor::zeros({kSize}, DType::f32);
    Tensor gradient = Tensor::zeros({kSize}, DType::f32);
    optim::Adamw adamw;
};

/// What rounding the stored means can do to the sum of updates, by interval arithmetic along the
/// exact recursion: each mean is stored with a relative error of at most 2⁻⁸ and that error fades
/// with β.
class UpdateBound {
  public:
    void add(double g, int64_t step) {
        constexpr double kBeta1 = 0.9, kBeta2 = 0.95, kEpsilon = 1e-8;
        m_error_ = kBeta1 * (m_error_ + kRoundoff * (std::abs(m_) + m_error_));
        v_error_ = kBeta2 * (v_error_ + kRoundoff * (v_ + v_error_));
        m_ = kBeta1 * m_ + (1 - kBeta1) * g;
        v_ = kBeta2 * v_ + (1 - kBeta2) * g * g;
        const double first = 1 - std::pow(kBeta1, step), second = 1 - std::pow(kBeta2, step);
        const auto update = [&](double m, double v) {
            return kRate * m / first / (std::sqrt(v / second) + kEpsilon);
        };
        const double middle = update(m_, v_);
        double worst = 0;
        for (const double m : {m_ - m_error_, m_ + m_error_}) {
            for (const double v : {std::max(0.0, v_ - v_error_), v_ + v_error_}) {
                worst = std::max(worst, std::abs(update(m, v) - middle));
            }
        }
        total_ += worst;
    }
    double total() const {
        return total_;
    }

  private:
    double m_ = 0, v_ = 0, m_error_ = 0, v_error_ = 0, total_ = 0;
};

}  // namespace

TEST_CASE("adamw: with bf16 moments the weights stay within the bound of the roundings") {
    Problem exact(DType::f32), rounded(DType::bf16);
    std::vector<UpdateBound> bounds(static_cast<size_t>(kSize));
    for (int64_t step = 1; step <= 300; ++step) {
        for (size_t i = 0; i < size_t(kSize); ++i) {
            // Some directions are steady, some are noise; sizes over thirteen decades.
            const double size = std::pow(10.0, double(i % 14) - 10);
            const double g = float(size * (double(i % 3) + random_normal(2, uint64_t(step), i)));
            exact.gradient.values<float>()[i] = rounded.gradient.values<float>()[i] = float(g);
            bounds[i].add(g, step);
        }
        exact.step();
        rounded.step();
    }
    double largest = 0;
    for (size_t i = 0; i < size_t(kSize); ++i) {
        CAPTURE(i);
        const double distance =
            std::abs(double(exact.weights.values<float>()[i]) - rounded.weights.values<float>()[i]);
        largest = std::max(largest, distance);
        // float32's own roundings: 300 steps of weights below 4.
        CHECK(distance <= bounds[i].total() + 300 * 4 * 0x1p-24);
    }
    CHECK(largest > 0);  // or nothing was rounded
}

TEST_CASE("adamw: a quadratic bowl is descended as far with bf16 moments as with f32") {
    // f(w) = ½ Σ a w², a over three decades. Adam's step is at most lr·(1 − β₁)/√((1 − β₂)(1 −
    // β₁²/β₂)) = 1.2 lr (Cauchy and Schwarz on the two means); rounding adds 2⁻⁸/(1 − β₁) + 2⁻⁷/(1
    // − β₂) < 20 % to it. Once across the minimum a weight comes back after the memory of m, some
    // ten steps: it stays within 15 of those steps.
    constexpr double kRadius = 15 * 1.2 * 1.2 * kRate;
    for (const DType moments : {DType::f32, DType::bf16}) {
        CAPTURE(name(moments));
        Problem problem(moments);
        double furthest = 0;
        for (int64_t step = 0; step < 6000; ++step) {
            for (size_t i = 0; i < size_t(kSize); ++i) {
                const float w = problem.weights.values<float>()[i];
                problem.gradient.values<float>()[i] = w * float(std::pow(10.0, double(i % 4) - 2));
                if (step >= 5900) furthest = std::max(furthest, double(std::abs(w)));
            }
            problem.step();
        }
        CHECK(furthest < kRadius);
    }
}

TEST_CASE("adamw: a bf16 mean fades without gradients, down to where bf16 has no numbers") {
    Problem problem(DType::bf16);
    for (float& g : problem.gradient.values<float>()) g = 1;
    problem.step();
    const optim::Adamw::State& state = problem.adamw.states()[0];
    CHECK(state.m.dtype() == DType::bf16);
    float before = to_float(state.v.values<bf16>()[0]);
    for (int step = 0; step < 1000; ++step) {
        problem.step();
        const float now = to_float(state.v.values<bf16>()[0]);
        CHECK(now < before);  // 0.95 moves every bf16; 0.9999 would leave 1 where it is
        before = now;
    }
    CHECK(before < 1e-20f);
    CHECK(to_float(to_bf16(0.9999f)) == 1);
}

TEST_CASE("adamw: 4 + 2 + 2 bytes a parameter beside the bf16 weight") {
    ThreadPool pool(1);
    Workspace workspace;
    Context context{pool, workspace};
    const std::vector<optim::OptimizedParameter> parameters = {
        {.name = "w",
         .parameter = Tensor::zeros({3, 5}, DType::bf16),
         .gradient = Tensor::zeros({3, 5}, DType::f32)}};
    CHECK(optim::Adamw(context, parameters, {}).bytes() == 15 * (4 + 4 + 4));
    CHECK(optim::Adamw(context, parameters, {.moments = DType::bf16}).bytes() == 15 * (4 + 2 + 2));
}
