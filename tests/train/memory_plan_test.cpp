#include "train/memory_plan.h"

#include <algorithm>

#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

Recipe project_recipe(const std::string& name, const std::vector<std::string>& sets = {}) {
    return read_recipe(std::string(HADAL_TEST_DATA) + "/../recipes/" + name, sets);
}

}  // namespace

TEST_CASE("flops: the two configurations have the counts that the peer's script gives") {
    // 48.0 and 290.8 MFLOP a token (bench_hf_train.py: 3 × forward_flops with (512 + 1) / 2 keys).
    CHECK(training_flops_per_token(project_recipe("bench_demo.toml")) ==
          doctest::Approx(48.0e6).epsilon(0.002));
    CHECK(training_flops_per_token(project_recipe("bench_wide.toml")) ==
          doctest::Approx(290.8e6).epsilon(0.002));
}

TEST_CASE("memory plan: the 671B model's weights, masters, moments, gradients") {
    const MemoryPlan plan = plan_memory(project_recipe("v3_671b/pretrain.toml"));
    CHECK(plan.parameters == 671026419200 + 11610068224);
    CHECK(plan.weights == 2 * plan.parameters);
    CHECK(plan.master == 4 * plan.parameters);
    CHECK(plan.moments == 4 * plan.parameters);
    CHECK(plan.gradients == 4 * plan.parameters);
    int64_t parts = 0;
    for (const PlannedActivation& part : plan.parts) parts += part.bytes;
    CHECK(parts == plan.activations);
    // Report: about 12.4K steps on the ramp and 228K after it.
    CHECK(plan.steps > 235'000);
    CHECK(plan.steps < 250'000);
}

TEST_CASE("memory plan: bf16 moments take 4 bytes a parameter, f32 ones 8") {
    const test::TemporaryDirectory folder;
    const MemoryPlan wide = plan_memory(test::small_recipe(folder));
    const MemoryPlan rounded = plan_memory(test::small_recipe(folder, {"optimizer.moments=bf16"}));
    CHECK(wide.moments == 8 * wide.parameters);
    CHECK(rounded.moments == 4 * rounded.parameters);
    CHECK(rounded.master == wide.master);
}

TEST_CASE("memory plan: what is kept beside training is counted") {
    const test::TemporaryDirectory folder;
    const MemoryPlan plan =
        plan_memory(test::small_recipe(folder, {"optimizer.moments=bf16", "ema.decay=0.9"}));
    CHECK(plan.average == 4 * plan.parameters);
    CHECK(plan.snapshot_copy == (4 + 2 + 2 + 4) * plan.parameters);
    const MemoryPlan bare = plan_memory(
        test::small_recipe(folder, {"optimizer.moments=bf16", "snapshot.background=false"}));
    CHECK(bare.average == 0);
    CHECK(bare.snapshot_copy == 0);
    CHECK(plan.total() == bare.total() + plan.average + plan.snapshot_copy);
}

TEST_CASE("memory plan: activations are those that a trainer allocates") {
    const test::TemporaryDirectory folder;
    for (const std::string set :
         {"memory.recompute=false", "memory.recompute=true", "precision.linear=fp8"}) {
        const Recipe recipe = test::small_recipe(folder, {set});
        int64_t bytes = 0;
        const model::Allocate counted = [&](std::string_view, Shape shape, DType dtype) {
            Tensor tensor = Tensor::zeros(shape, dtype);
            bytes += tensor.bytes();
            return tensor;
        };
        model::allocate_saved(recipe.model, 2 * 24, recipe.precision(), true, counted);
        model::allocate_backward(recipe.model, 2 * 24, recipe.precision(), true, counted);
        CHECK(plan_memory(recipe).activations == bytes);
    }
}

TEST_CASE("memory plan: each activation by name, and what keeping all of them would take") {
    const test::TemporaryDirectory folder;
    const MemoryPlan kept = plan_memory(test::small_recipe(folder));
    CHECK(kept.activations == kept.activations_in_full);
    const MemoryPlan again = plan_memory(test::small_recipe(folder, {"memory.recompute=true"}));
    CHECK(again.activations_in_full == kept.activations);
    CHECK(again.activations < kept.activations);
    const auto part = [&](const MemoryPlan& plan, const std::string& name) {
        return *std::ranges::find(plan.parts, name, &PlannedActivation::name);
    };
    // 2 layers and 1 MTP module of 48 tokens: 2 heads of 8 + 8, and of 8 + 8 keys and values.
    CHECK(part(kept, "kv").count == 3);
    CHECK(part(kept, "kv").bytes == 3 * 48 * 32 * 2);
    CHECK(part(again, "kv").bytes == 0);
    CHECK(part(again, "kv").bytes_in_full == 3 * 48 * 32 * 2);
    CHECK(part(again, "ckv").bytes == 3 * 48 * 24 * 2);
    CHECK(part(again, "shared by layers").bytes_in_full == 0);
}

TEST_CASE("memory plan: FP8 keeps at most 0.6 of the bytes that bf16 keeps in full") {
    for (const char* name : {"bench_demo.toml", "bench_wide.toml", "v3_671b/pretrain.toml"}) {
        CAPTURE(name);
        const MemoryPlan plan = plan_memory(project_recipe(name, {"precision.linear=fp8"}));
        CHECK(double(plan.activations) < 0.6 * double(plan.activations_in_full));
        CHECK(plan.activations_in_full == plan_memory(project_recipe(name)).activations);
    }
}

TEST_CASE("memory plan: FP8 weights are a byte each, and the trainer holds what is planned") {
    const test::TemporaryDirectory folder;
    for (const std::string tiles : {"128x128", "1x32", "tensor"}) {
        CAPTURE(tiles);
        const Recipe recipe =
            test::small_recipe(folder, {"precision.linear=fp8", "precision.weights=" + tiles});
        test::Machine machine;
        Trainer trainer(machine.context, recipe);
        int64_t bytes = 0;
        for (const model::Parameter& p : model::parameters(recipe.model, trainer.model().weights)) {
            if (p.linear == nullptr) {
                bytes += p.shape.count() * 2;  // the plan takes the router bias for bf16
                continue;
            }
            CHECK(p.tensor->dtype() == DType::f32);  // the master
            bytes += p.linear->codes.bytes();
            const bool both =
                p.linear->codes.codes.data() == p.linear->codes_along_out.codes.data();
            CHECK(both == (tiles != "1x32"));
            if (!both) bytes += p.linear->codes_along_out.bytes();
        }
        CHECK(plan_memory(recipe).weights == bytes);
    }
    const MemoryPlan large =
        plan_memory(project_recipe("v3_671b/pretrain.toml", {"precision.linear=fp8"}));
    CHECK(double(large.weights) < 1.02 * double(large.parameters));
    CHECK(large.master == 4 * large.parameters);
}
