// The guard in a whole run: what is skipped changes nothing, what is found is the same after a
// resume, and a run that cannot go on ends with its last good weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/snapshot.h"
#include "core/file_map.h"
#include "train/fault_support.h"
#include "train/run_support.h"
#include "train/spike_record.h"

using namespace hadal;
using namespace hadal::train;

namespace {

namespace fs = std::filesystem;

std::vector<Metrics> metrics_of(const fs::path& run) {
    std::vector<Metrics> found;
    const std::string text = read_file(run / "metrics.jsonl");
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = text.find('\n', begin);
        found.push_back(*parse_metrics_line(std::string_view(text).substr(begin, end - begin)));
        begin = end + 1;
    }
    return found;
}

}  // namespace

TEST_CASE("guard: a batch that is not finite changes no weight and no moment, only the position") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    Trainer trainer(machine.context, test::poisoned_recipe(machine.context, folder));
    int64_t skipped = 0;
    for (int i = 0; i < 40; ++i) {
        const auto before = trainer.snapshot();
        std::vector<std::string> bytes;
        for (const auto& [name, tensor] : before.tensors)
            bytes.emplace_back(reinterpret_cast<const char*>(tensor.data()), tensor.bytes());
        const StepResult result = trainer.step();
        CHECK(trainer.progress().step == i + 1);
        CHECK(trainer.progress().samples == 4 * (i + 1));
        CHECK(std::isfinite(result.loss) != result.verdict.skip);
        const auto after = trainer.snapshot();
        bool same = true;
        for (size_t t = 0; t < bytes.size(); ++t)
            same = same && std::memcmp(bytes[t].data(), after.tensors[t].second.data(),
                                       bytes[t].size()) == 0;
        CHECK(same == result.verdict.skip);
        skipped += result.verdict.skip ? 1 : 0;
    }
    CHECK(skipped >= 2);
    CHECK(skipped <= 20);
    CHECK(trainer.guard_state().skipped == skipped);
}

TEST_CASE("guard: skipped spikes keep noise out of the weights, and a resume finds the same ones") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const auto recipe_in = [&](const std::string& name) {
        return test::corrupt_recipe(folder, {"guard.skip_spikes=true", "balance.starved_steps=3",
                                             "run.out=" + (folder / name).string()});
    };
    CHECK(pretrain(machine.context, recipe_in("whole"), {}).finished);
    const auto whole = metrics_of(folder / "whole");
    REQUIRE(whole.back().skipped >= 3);
    CHECK(whole.back().skipped == whole.back().spikes);
    // Stops that lie in the middle of the window of many a spike.
    for (const int64_t stop : {40, 116, 151}) {
        int64_t step = 0;
        pretrain(machine.context, recipe_in("parts"),
                 {.resume = stop != 40,
                  .stop_requested = [&] { return step == stop; },
                  .on_step = [&](const Metrics& m) { step = m.step; }});
    }
    CHECK(pretrain(machine.context, recipe_in("parts"), {.resume = true}).resumed_from == 151);
    const auto parts = metrics_of(folder / "parts");
    REQUIRE(parts.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
        CAPTURE(whole[i].step);
        CHECK(parts[i].loss == whole[i].loss);
        CHECK(parts[i].skipped == whole[i].skipped);
        CHECK(parts[i].starved_experts == whole[i].starved_experts);
    }
    CHECK(read_file(folder / "parts/model/model.safetensors") ==
          read_file(folder / "whole/model/model.safetensors"));
}

TEST_CASE("guard: k skipped steps in a row end the run with the weights of before them") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    // Every second document holds the poison, so that soon no batch of four is without it.
    const Recipe recipe = test::poisoned_recipe(
        machine.context, folder,
        {"guard.max_skipped_run=5", "run.steps=200", "learning_rate.warmup_steps=0"},
        /*good=*/1);
    try {
        pretrain(machine.context, recipe, {});
        FAIL("the run went on");
    } catch (const Error& error) {
        CHECK(error.exit_status() == 1);
        CHECK(std::string(error.what()).starts_with("training diverged: 5 steps in a row"));
    }
    const auto history = metrics_of(recipe.run.out);
    const Metrics& last = history.back();
    CHECK(last.skipped >= 5);
    for (size_t i = history.size() - 5; i < history.size(); ++i)
        CHECK_FALSE(std::isfinite(history[i].loss));
    const auto latest = checkpoint::open_latest_snapshot(fs::path(recipe.run.out) / "snapshots");
    REQUIRE(latest.snapshot.has_value());
    CHECK(latest.snapshot->step() == last.step);
    CHECK_FALSE(fs::exists(fs::path(recipe.run.out) / "model"));
    const Tensor norm = latest.snapshot->load("master.model.norm.weight");
    for (const float value : norm.values<float>()) CHECK(std::isfinite(value));
    // Resumed, it counts on from where it was: one more bad step ends it again.
    CHECK_THROWS_AS(pretrain(machine.context, recipe, {.resume = true}), Error);
    CHECK(metrics_of(recipe.run.out).back().step == last.step + 1);
}

TEST_CASE("guard: records are limited, counting is not") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::corrupt_recipe(folder, {"guard.max_records=2"});
    pretrain(machine.context, recipe, {});
    CHECK(metrics_of(recipe.run.out).back().spikes > 2);
    CHECK(count_spikes(recipe.run.out) == 2);
    // Starting anew removes them.
    const auto again =
        pretrain(machine.context, recipe, {.force = true, .stop_requested = [] { return true; }});
    CHECK_FALSE(again.finished);
    CHECK(count_spikes(recipe.run.out) == 0);
}
