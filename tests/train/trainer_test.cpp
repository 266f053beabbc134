#include "train/trainer.h"

#include <algorithm>

#include "core/file_map.h"
#include "data/token_dataset.h"
#include "model/quantize_model.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

std::string trained_bytes(const Recipe& recipe, int threads, int64_t steps, Isa isa = best_isa()) {
    test::Machine machine(threads, isa);
    Trainer trainer(machine.context, recipe);
    for (int64_t i = 0; i < steps; ++i) trainer.step();
    return test::weight_bytes(trainer);
}

const std::vector<std::string> kArithmetics = {"run.dtype=bf16", "run.dtype=f32",
                                               "precision.linear=fp8"};

}  // namespace

TEST_CASE("trainer: the loss falls") {
    const test::TemporaryDirectory folder;
    for (const std::string dtype : {"bf16", "f32"}) {
        CAPTURE(dtype);
        const Recipe recipe = test::small_recipe(folder, {"run.steps=60", "run.dtype=" + dtype});
        test::Machine machine;
        Trainer trainer(machine.context, recipe);
        const double before = trainer.validate()->loss;
        CHECK(before == doctest::Approx(std::log(64)).epsilon(0.05));  // knows nothing yet
        StepResult last;
        while (!trainer.finished()) last = trainer.step();
        const auto after = trainer.validate();
        CHECK(after->loss < 0.5 * before);
        CHECK(*after->mtp_loss < 0.8 * before);
        CHECK(after->sequences == 7);
        CHECK(last.sequences == 4);
        CHECK(trainer.progress().tokens == 60 * 4 * 24);
    }
}

TEST_CASE("trainer: the same bits for 1, 2 and 4 threads, with every instruction set") {
    const test::TemporaryDirectory folder;
    for (const std::string& set : kArithmetics) {
        CAPTURE(set);
        const Recipe recipe = test::small_recipe(folder, {set});
        for (const Isa isa : available_isas()) {
            CAPTURE(name(isa));
            const std::string expected = trained_bytes(recipe, 1, 4, isa);
            CHECK(trained_bytes(recipe, 2, 4, isa) == expected);
            CHECK(trained_bytes(recipe, 4, 4, isa) == expected);
            CHECK(trained_bytes(recipe, 2, 3, isa) != expected);
        }
    }
}

TEST_CASE("trainer: stop and resume after any step gives the same bits") {
    const test::TemporaryDirectory folder;
    for (const std::string& set : kArithmetics) {
        CAPTURE(set);
        const Recipe recipe = test::small_recipe(folder, {set});
        const std::string expected = trained_bytes(recipe, 2, 8);
        for (int64_t stop = 1; stop < 8; ++stop) {
            CAPTURE(stop);
            const auto snapshots = folder / concat("snapshots-", set, stop);
            test::Machine machine;
            {
                Trainer trainer(machine.context, recipe);
                for (int64_t i = 0; i < stop; ++i) trainer.step();
                checkpoint::write_snapshot(snapshots, trainer.snapshot(), {.keep = 1});
            }
            auto latest = checkpoint::open_latest_snapshot(snapshots);
            REQUIRE(latest.snapshot.has_value());
            Trainer trainer(machine.context, recipe);
            trainer.restore(*latest.snapshot);
            CHECK(trainer.progress().step == stop);
            while (trainer.progress().step < 8) trainer.step();
            CHECK(test::weight_bytes(trainer) == expected);
        }
    }
}

TEST_CASE("trainer: every FP8 recipe learns, with the same bits for any number of threads") {
    const test::TemporaryDirectory folder;
    const std::vector<std::vector<std::string>> recipes = {
        {"precision.gradients=128x128"},
        {"precision.gradient_format=e5m2"},
        {"precision.activations=1x32", "precision.weights=1x32", "precision.gradients=1x32"},
        {"precision.activations=tensor", "precision.weights=tensor", "precision.gradients=tensor"}};
    std::vector<std::string> all_bytes = {
        trained_bytes(test::small_recipe(folder, {"precision.linear=fp8"}), 2, 4)};
    for (std::vector<std::string> sets : recipes) {
        CAPTURE(sets.front());
        sets.push_back("precision.linear=fp8");
        const Recipe recipe = test::small_recipe(folder, sets);
        all_bytes.push_back(trained_bytes(recipe, 1, 4));
        CHECK(trained_bytes(recipe, 4, 4) == all_bytes.back());
        CHECK(std::ranges::count(all_bytes, all_bytes.back()) == 1);  // each key changes something
        test::Machine machine;
        Trainer trainer(machine.context, recipe);
        const double before = trainer.validate()->loss;
        while (!trainer.finished()) trainer.step();
        CHECK(trainer.validate()->loss < 0.9 * before);
    }
}

TEST_CASE("trainer: micro-batches change the memory, and the loss by rounding only") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    std::vector<double> losses;
    for (const int64_t micro_batch : {1, 2, 4}) {
        const Recipe recipe = test::small_recipe(
            folder, {concat("batch.micro_batch=", micro_batch), "run.dtype=f32"});
        Trainer trainer(machine.context, recipe);
        trainer.step();
        losses.push_back(trainer.step().loss);
    }
    CHECK(losses[1] == doctest::Approx(losses[0]).epsilon(1e-5));
    CHECK(losses[2] == doctest::Approx(losses[0]).epsilon(1e-5));
}

TEST_CASE("trainer: a snapshot of another configuration is refused by name") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    {
        Trainer trainer(machine.context, test::small_recipe(folder));
        trainer.step();
        checkpoint::write_snapshot(folder / "snapshots", trainer.snapshot(), {});
    }
    const auto latest = checkpoint::open_latest_snapshot(folder / "snapshots");
    const auto refuse = [&](const std::string& set, const std::string& part) {
        Trainer trainer(machine.context, test::small_recipe(folder, {set}));
        CHECK_THROWS_WITH_AS(trainer.restore(*latest.snapshot), doctest::Contains(part.c_str()),
                             Error);
    };
    refuse("model.hidden_size=64", "model.hidden_size is 64, was 32");
    refuse("run.seed=4", "run.seed is 4, was 3");
    refuse("data.train=[\"" + (folder / "counting").string() + "\", \"" +
               (folder / "counting").string() + "\"]",
           "data");
}

TEST_CASE("pretrain: stopped and resumed, a run ends with the same model and the same log") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe whole = test::small_recipe(folder, {"run.out=" + (folder / "whole").string()});
    const Recipe parts = test::small_recipe(folder, {"run.out=" + (folder / "parts").string()});
    CHECK(pretrain(machine.context, whole, {}).finished);

    int steps = 0;
    const auto stopped =
        pretrain(machine.context, parts, {.stop_requested = [&] { return ++steps == 7; }});
    CHECK_FALSE(stopped.finished);
    CHECK_FALSE(std::filesystem::exists(folder / "parts/model"));
    CHECK_THROWS_WITH_AS(pretrain(machine.context, parts, {}), doctest::Contains("--resume"),
                         Error);
    const auto resumed = pretrain(machine.context, parts, {.resume = true});
    CHECK(resumed.resumed_from == 7);
    CHECK(resumed.finished);
    CHECK(read_file(folder / "parts/model/model.safetensors") ==
          read_file(folder / "whole/model/model.safetensors"));
    CHECK(*resumed.last.validation_loss < *resumed.first.validation_loss);
    CHECK(resumed.first.step == 0);
    for (const char* name : {"recipe.toml", "metrics.jsonl", "loss.svg", "expert_load.svg",
                             "log.txt", "model/config.json", "model/generation_config.json"}) {
        CAPTURE(name);
        CHECK(std::filesystem::exists(folder / "parts" / name));
    }
    const std::string log = read_file(folder / "parts/metrics.jsonl");
    CHECK(std::count(log.begin(), log.end(), '\n') == 13);  // step 0 is the untrained model
    CHECK(pretrain(machine.context, parts, {.force = true}).resumed_from == 0);
}

TEST_CASE("pretrain: a trained model loads, and starts another run") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const auto first = pretrain(machine.context, test::small_recipe(folder), {});
    Recipe next = test::small_recipe(folder, {"run.out=" + (folder / "next").string()});
    next.init_from = first.model;
    Trainer trainer(machine.context, next);
    CHECK(trainer.validate()->loss == doctest::Approx(*first.last.validation_loss).epsilon(1e-6));
    trainer.step();  // into memory of its own, not into the mapped file
}

TEST_CASE("pretrain: a model with experts in INT4 starts a run as its bf16 copy does") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    Recipe wide = test::small_recipe(folder);
    wide.model.moe_intermediate_size = 32;  // whole groups
    const auto first = pretrain(machine.context, wide, {});
    const auto int4 = folder / "int4", copy = folder / "copy";
    model::quantize_model(machine.context, first.model, int4, {.to = model::Storage::int4_experts});
    model::quantize_model(machine.context, int4, copy, {.to = model::Storage::bf16});
    const auto loss = [&](const std::filesystem::path& from) {
        Recipe next = test::small_recipe(folder, {"run.out=" + (folder / "next").string()});
        next.model.moe_intermediate_size = 32;
        next.init_from = from;
        Trainer trainer(machine.context, next);
        trainer.step();
        return trainer.validate()->loss;
    };
    CHECK(loss(int4) == loss(copy));
}
