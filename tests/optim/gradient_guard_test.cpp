#include "optim/gradient_guard.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/thread_pool.h"
#include "core/workspace.h"

using namespace hadal;
using optim::GradientGuard;

namespace {

/// Two parameters whose gradients are set by hand.
struct Gradients {
    Gradients() {
        for (const int64_t size : {3, 2}) {
            const Tensor parameter = Tensor::zeros({size}, DType::f32);
            parameters.push_back({.name = "p",
                                  .parameter = parameter,
                                  .gradient = Tensor::zeros({size}, DType::f32)});
        }
    }
    void set(float a, float b) {
        parameters[0].gradient.values<float>()[1] = a;
        parameters[1].gradient.values<float>()[0] = b;
    }
    /// Looks at a step and counts it.
    GradientGuard::Verdict step(GradientGuard& guard, double loss) {
        const auto verdict = guard.inspect(context, parameters, loss);
        guard.record(verdict, loss);
        return verdict;
    }

    ThreadPool threads{1};
    Workspace workspace;
    Context context{threads, workspace, best_isa()};
    std::vector<optim::OptimizedParameter> parameters;
};

}  // namespace

TEST_CASE("guard: the norm is over all parameters, and clipping brings it to the limit") {
    Gradients g;
    GradientGuard guard({.clip_norm = 1});
    g.set(3, 4);
    const auto verdict = g.step(guard, 1.0);
    CHECK(verdict.norm == 5);
    CHECK(verdict.scale == 1 / (5 + 1e-6));
    g.set(0.3f, 0.4f);
    CHECK(g.step(guard, 1.0).scale == 1);
    GradientGuard free({.clip_norm = 0});
    g.set(30, 40);
    CHECK(g.step(free, 1.0).scale == 1);
}

TEST_CASE("guard: what is not finite is skipped and enters no window") {
    Gradients g;
    GradientGuard guard({.max_skipped_run = 0});
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
        g.set(bad, 1);
        CHECK(g.step(guard, 1.0).skip);
    }
    g.set(1, 1);
    CHECK(g.step(guard, NAN).skip);
    CHECK(g.step(guard, INFINITY).skip);
    CHECK_FALSE(g.step(guard, 1.0).skip);
    CHECK(guard.state().skipped == 5);
    CHECK(guard.state().skipped_run == 0);
    CHECK(guard.state().losses == std::vector<double>{1.0});
    CHECK(guard.state().norms.size() == 1);
    CHECK(guard.inspect(g.context, g.parameters, NAN).reason(NAN).starts_with("not finite: loss"));
}

TEST_CASE("guard: a spike is counted, and skipped only if asked for") {
    for (const bool skip : {false, true}) {
        CAPTURE(skip);
        Gradients g;
        GradientGuard guard({.spikes = {.window = 8, .threshold = 5}, .skip_spikes = skip});
        for (int i = 0; i < 8; ++i) {
            g.set(1 + 0.01f * float(i), 0);
            CHECK_FALSE(g.step(guard, 2 + 0.01 * i).spike());
        }
        auto verdict = g.step(guard, 9);
        CHECK(verdict.loss_jump.spike);
        CHECK_FALSE(verdict.norm_jump.spike);
        CHECK(verdict.skip == skip);
        CHECK(verdict.reason(9).starts_with("the loss 9 is "));
        g.set(100, 0);
        verdict = g.step(guard, 2);
        CHECK(verdict.norm_jump.spike);
        CHECK(verdict.reason(2).starts_with("the gradient norm 100 is "));
        CHECK(guard.state().spikes == 2);
        CHECK(guard.state().skipped == (skip ? 2 : 0));
    }
}

TEST_CASE("guard: the k-th skipped step in a row is the end, a good one between starts anew") {
    Gradients g;
    GradientGuard guard({.max_skipped_run = 3});
    CHECK_FALSE(g.step(guard, NAN).diverged);
    CHECK_FALSE(g.step(guard, NAN).diverged);
    CHECK_FALSE(g.step(guard, 1).diverged);
    CHECK_FALSE(g.step(guard, NAN).diverged);
    CHECK_FALSE(g.step(guard, NAN).diverged);
    CHECK(g.step(guard, NAN).diverged);
    CHECK(guard.state().skipped_run == 3);
}

TEST_CASE("guard: inspecting changes nothing, and a restored guard judges as the old one") {
    Gradients g;
    const optim::GuardSettings settings{.spikes = {.window = 6, .threshold = 5}};
    GradientGuard guard(settings);
    for (int i = 0; i < 9; ++i) {
        g.set(1 + 0.1f * float(i % 4), 0);
        g.step(guard, i == 3 ? NAN : 2 + 0.1 * i);
    }
    const auto before = guard.state();
    guard.inspect(g.context, g.parameters, 50);
    CHECK(guard.state().losses == before.losses);
    CHECK(guard.state().spikes == before.spikes);
    GradientGuard copy(settings);
    copy.restore(before);
    for (const double loss : {3.0, 4.0, 17.5}) {
        const auto a = guard.inspect(g.context, g.parameters, loss);
        const auto b = copy.inspect(g.context, g.parameters, loss);
        CHECK(a.loss_jump.deviation == b.loss_jump.deviation);
        CHECK(a.norm_jump.deviation == b.norm_jump.deviation);
    }
    CHECK(copy.state().skipped == 1);
}
