// Three AdamW steps through the whole model against PyTorch's numbers
// (tests/golden/adamw/README.md).
#include <cmath>

#include "model/support.h"
#include "optim/adamw.h"
#include "optim/gradient_guard.h"

using namespace hadal;

namespace {

struct Run {
    Run()
        : golden(checkpoint::Safetensors::open(test::golden_path("adamw") / "golden.safetensors")),
          model(model::load_model(test::golden_path("base"), DType::f32)) {
        const Tensor ids = golden.load("input_ids");  // [3, batch, seq]
        batch_rows = ids.shape()[1];
        length = ids.shape()[2];
        for (int64_t i = 0; i < 3; ++i) {
            batches.push_back(test::golden_batch(ids.rows(i, 1).reshaped({batch_rows, length})));
        }
        gradients = model::zero_gradients(model.config);
        const auto weights = model::parameters(model.config, model.weights);
        const auto d_weights = model::parameters(model.config, gradients);
        for (size_t i = 0; i < weights.size(); ++i) {
            if (weights[i].role == model::Role::router_bias) continue;
            *weights[i].tensor = weights[i].tensor->clone();  // not the mapped file
            parameters.push_back({.name = weights[i].name,
                                  .parameter = *weights[i].tensor,
                                  .gradient = *d_weights[i].tensor,
                                  .decay = true});
        }
        const int64_t tokens = batch_rows * length;
        saved = model::allocate_saved(model.config, tokens, DType::f32, false, test::owned());
        space = model::allocate_backward(model.config, tokens, DType::f32, false, test::owned());
    }

    double mean_loss(const model::LossResult& result) const {
        return result.loss_sum / double(result.targets);
    }
    float expected(const char* name, size_t i) const {
        return golden.load(name).values<float>()[i];
    }

    test::Machine machine;
    checkpoint::Safetensors golden;
    model::Model model;
    model::Weights gradients;
    int64_t batch_rows = 0, length = 0;
    std::vector<model::TokenBatch> batches;
    std::vector<optim::OptimizedParameter> parameters;
    model::Saved saved;
    model::BackwardSpace space;
};

}  // namespace

TEST_CASE("adamw: losses, gradient norms and parameters of three steps equal PyTorch's") {
    Run run;
    optim::Adamw adamw(run.machine.context, run.parameters, {});
    optim::GradientGuard guard({.clip_norm = 1});
    const double scale = 1 / double(run.batch_rows * (run.length - 1));
    for (size_t step = 0; step < 3; ++step) {
        CAPTURE(step);
        const auto result =
            model::forward_backward(run.machine.context, run.model, run.batches[step],
                                    {.main_scale = scale}, run.saved, run.space, run.gradients);
        const auto verdict =
            guard.inspect(run.machine.context, run.parameters, run.mean_loss(result));
        CHECK(run.mean_loss(result) == doctest::Approx(run.expected("loss", step)).epsilon(1e-5));
        CHECK(verdict.norm == doctest::Approx(run.expected("grad_norm", step)).epsilon(1e-5));
        adamw.step(run.machine.context, 1e-3, verdict.scale);
    }
    const auto after =
        model::evaluate(run.machine.context, run.model, run.batches[2], {}, run.saved);
    CHECK(run.mean_loss(after) == doctest::Approx(run.expected("loss_after", 0)).epsilon(1e-5));

    // README: |d| < 1e-5 for 99.9 % of the elements, < 3e-3 for all.
    int64_t elements = 0, off = 0;
    double worst = 0;
    for (const optim::OptimizedParameter& p : run.parameters) {
        const Tensor expected = run.golden.load("param." + p.name);
        for (size_t i = 0; i < size_t(expected.count()); ++i) {
            const double d =
                std::fabs(double(p.parameter.values<float>()[i]) - expected.values<float>()[i]);
            worst = std::max(worst, d);
            off += d < 1e-5 ? 0 : 1;
            ++elements;
        }
    }
    CHECK(elements > 100000);
    CHECK(double(off) < 1e-3 * double(elements));
    CHECK(worst < 3e-3);
}
