// What may be continued, what may not, and that it is continued exactly.
#include <algorithm>
#include <fstream>

#include "core/file_map.h"
#include "data/token_dataset.h"
#include "train/run_lock.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

/// A recipe in which everything moves: batch, rate, bias, both means rounded.
Recipe moving_recipe(const test::TemporaryDirectory& folder, std::vector<std::string> more = {}) {
    std::vector<std::string> sets = {"run.steps=10",
                                     "batch.ramp_from=2",
                                     "batch.sequences=8",
                                     "batch.ramp_until=25%",
                                     "learning_rate.constant_until=10%",
                                     "learning_rate.cosine_until=30%",
                                     "learning_rate.last_from=35%",
                                     "balance.bias_rate=0.01",
                                     "balance.bias_until=30%",
                                     "mtp.late_from=25%",
                                     "optimizer.moments=bf16",
                                     "ema.decay=0.8",
                                     "validation.every=0"};
    sets.insert(sets.end(), more.begin(), more.end());
    return test::small_recipe(folder, sets);
}

std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

void check_contains(const std::string& text, const std::vector<std::string>& parts) {
    CAPTURE(text);
    for (const std::string& part : parts) {
        CAPTURE(part);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(text.find('\n') == std::string::npos);
}

/// Some documents of ids below 64.
void write_ids(const std::filesystem::path& path, int32_t documents, int32_t first = 0) {
    data::TokenDatasetWriter writer(path, 64);
    for (int32_t d = 0; d < documents; ++d) {
        std::vector<int32_t> ids;
        for (int32_t i = 0; i < 50; ++i) ids.push_back((first + d * 7 + i) % 64);
        writer.add_document(ids);
    }
    writer.finish();
}

}  // namespace

TEST_CASE("resume: interrupted after any step of a run in which all moves, the same bits") {
    for (const std::string precision : {"precision.linear=dtype", "precision.linear=fp8"}) {
        CAPTURE(precision);
        const test::TemporaryDirectory folder;
        test::Machine machine;
        const Recipe whole =
            moving_recipe(folder, {"run.out=" + (folder / "whole").string(), precision});
        CHECK(pretrain(machine.context, whole, {}).finished);
        const std::string expected = read_file(folder / "whole/model/model.safetensors");
        const std::string average = read_file(folder / "whole/model-ema/model.safetensors");
        CHECK(average.size() == expected.size());
        CHECK(average != expected);
        std::vector<int64_t> batches;
        std::vector<double> rates;
        for (int64_t stop = 1; stop < 10; ++stop) {
            CAPTURE(stop);
            const std::string out = (folder / concat("stopped", stop)).string();
            const Recipe recipe = moving_recipe(folder, {"run.out=" + out, precision});
            int64_t steps = 0;
            pretrain(machine.context, recipe,
                     {.stop_requested = [&] { return ++steps == stop; },
                      .on_step =
                          [&](const Metrics& m) {
                              batches.push_back(m.batch);
                              rates.push_back(m.learning_rate);
                          }});
            const auto resumed = pretrain(machine.context, recipe, {.resume = true});
            CHECK(resumed.resumed_from == stop);
            CHECK(read_file(out + "/model/model.safetensors") == expected);
            CHECK(read_file(out + "/model-ema/model.safetensors") == average);
        }
        CHECK(*std::ranges::min_element(batches) == 2);  // or nothing has moved
        CHECK(*std::ranges::max_element(batches) == 8);
        CHECK(*std::ranges::min_element(rates) == whole.learning_rate.last);
        CHECK(*std::ranges::max_element(rates) > whole.learning_rate.low);
    }
}

TEST_CASE("ema: it changes no bit of the training, and its loss is that of the exported model") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    for (const std::string dtype : {"bf16", "f32", "fp8"}) {
        CAPTURE(dtype);
        const std::string type = dtype == "fp8" ? "precision.linear=fp8" : "run.dtype=" + dtype;
        const auto recipe = [&](const std::string& name, const std::string& decay) {
            return test::small_recipe(folder,
                                      {"run.out=" + (folder / (name + dtype)).string(), type,
                                       "ema.decay=" + decay, "learning_rate.peak=1e-2"});
        };
        pretrain(machine.context, recipe("without", "0"), {});
        const auto with = pretrain(machine.context, recipe("with", "0.7"), {});
        CHECK(read_file(folder / ("without" + dtype + "/model/model.safetensors")) ==
              read_file(folder / ("with" + dtype + "/model/model.safetensors")));
        CHECK_FALSE(std::filesystem::exists(folder / ("without" + dtype + "/model-ema")));
        REQUIRE(with.last.ema_validation_loss.has_value());
        CHECK(*with.last.ema_validation_loss < *with.first.ema_validation_loss);
        CHECK(*with.last.ema_validation_loss != *with.last.validation_loss);
        Recipe again = recipe("again", "0");
        again.init_from = with.ema_model;
        Trainer trainer(machine.context, again);
        // FP8's codes are of the average, those of the exported model of the average in bf16.
        CHECK(
            trainer.validate()->loss ==
            doctest::Approx(*with.last.ema_validation_loss).epsilon(dtype == "fp8" ? 1e-3 : 1e-6));
    }
}

TEST_CASE("ema: asked for in the middle of a run, it begins there") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    int steps = 0;
    pretrain(machine.context, test::small_recipe(folder),
             {.stop_requested = [&] { return ++steps == 6; }});
    const auto summary =
        pretrain(machine.context, test::small_recipe(folder, {"ema.decay=0.5", "ema.export=false"}),
                 {.resume = true, .allow_change = {"ema.decay"}});
    CHECK(summary.finished);
    CHECK(summary.last.ema_validation_loss.has_value());
    CHECK(summary.ema_model.empty());
    CHECK_FALSE(std::filesystem::exists(folder / "run/model-ema"));
}

TEST_CASE("resume: all keys that differ are named, and those that one may change") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe before = test::small_recipe(folder);
    int steps = 0;
    pretrain(machine.context, before, {.stop_requested = [&] { return ++steps == 3; }});
    const auto resumed = [&](std::vector<std::string> sets, std::vector<std::string> allowed = {}) {
        return message_of([&] {
            pretrain(machine.context, test::small_recipe(folder, std::move(sets)),
                     {.resume = true, .allow_change = std::move(allowed)});
        });
    };
    check_contains(resumed({"model.moe_intermediate_size=8", "run.seed=4",
                            "learning_rate.peak=1e-3", "optimizer.beta2=0.9"}),
                   {"model.moe_intermediate_size is 8, was 16", "run.seed is 4, was 3",
                    "learning_rate.peak is 0.001, was 0.005", "optimizer.beta2 is 0.9, was 0.95",
                    "--allow-change optimizer.beta2 --allow-change learning_rate.peak"});
    check_contains(resumed({"optimizer.moments=bf16"}), {"optimizer.moments is \"bf16\", was"});
    check_contains(resumed({"run.seed=4"}, {"run.seed"}),
                   {"--allow-change run.seed: a run cannot change this key"});
    check_contains(resumed({}, {"model.hidden_size"}), {"a run cannot change this key"});
    check_contains(resumed({}, {"learning_rate.paek"}), {"did you mean 'learning_rate.peak'"});
    check_contains(resumed({"run.seed=4", "learning_rate.peak=1e-3"}, {"learning_rate.peak"}),
                   {"run.seed is 4, was 3: "});

    std::vector<std::string> warnings;
    const auto changed =
        pretrain(machine.context, test::small_recipe(folder, {"learning_rate.peak=1e-3"}),
                 {.resume = true,
                  .allow_change = {"learning_rate.peak", "optimizer.beta2"},
                  .warn = [&](const std::string& text) { warnings.push_back(text); }});
    CHECK(changed.finished);
    CHECK(changed.resumed_from == 3);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0] == "allowed to change: learning_rate.peak is 0.001, was 0.005");
}

TEST_CASE("resume: changed, cut or missing data is named") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const auto recipe = [&](const std::string& sets) {
        return test::small_recipe(folder, {"data.train=" + sets});
    };
    const std::string a = (folder / "a").string(), b = (folder / "b").string();
    write_ids(a, 30);
    write_ids(b, 20);
    const std::string both = concat("[\"", a, "\", \"", b, "\"]");
    int steps = 0;
    pretrain(machine.context, recipe(both), {.stop_requested = [&] { return ++steps == 3; }});
    const auto resumed = [&](const std::string& sets) {
        return message_of([&] { pretrain(machine.context, recipe(sets), {.resume = true}); });
    };
    check_contains(resumed(concat("[\"", a, "\"]")), {"'b' of 1000 tokens is missing"});
    check_contains(resumed(concat("[\"", a, "\", \"", a, "\"]")),
                   {"'a' has 1500 tokens, had 1000"});
    write_ids(b, 19);
    check_contains(resumed(both), {"'b' has 950 tokens, had 1000", "put back the packed files"});
    write_ids(b, 20, /*first=*/1);
    check_contains(resumed(both), {"'b' holds other token ids"});
    write_ids(folder / "c", 5);
    check_contains(resumed(concat("[\"", a, "\", \"", b, "\", \"", (folder / "c").string(), "\"]")),
                   {"'c' is new"});
    // Cut behind its index's back.
    std::filesystem::resize_file(folder / "b.bin", 500);
    check_contains(resumed(both), {"b.bin", "has 500 bytes"});
    std::filesystem::remove(folder / "b.bin");
    check_contains(resumed(both), {"b.bin"});
    // Moved to another folder it is the same data.
    std::filesystem::create_directory(folder / "moved");
    write_ids(folder / "moved/b", 20);
    const std::string moved = (folder / "moved/b").string();
    CHECK(pretrain(machine.context, recipe(concat("[\"", a, "\", \"", moved, "\"]")),
                   {.resume = true})
              .finished);
}

TEST_CASE("resume: another tokenizer is refused") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const auto path = folder / "tokenizer.json";
    std::ofstream(path) << "{}";
    const Recipe recipe = test::small_recipe(folder, {"data.tokenizer=" + path.string()});
    int steps = 0;
    pretrain(machine.context, recipe, {.stop_requested = [&] { return ++steps == 2; }});
    std::ofstream(path) << "{ }";
    check_contains(message_of([&] { pretrain(machine.context, recipe, {.resume = true}); }),
                   {"the tokenizer is not the snapshot's", "tokenizer.json"});
    std::ofstream(path) << "{}";
    CHECK(pretrain(machine.context, recipe, {.resume = true}).finished);
}

TEST_CASE("token data: a change anywhere in a set is seen") {
    const test::TemporaryDirectory folder;
    write_ids(folder / "a", 2000);
    const auto path = folder / "a.bin";
    const uint64_t before = data::TokenDataset::open(folder / "a").fingerprint();
    std::string bytes = read_file(path);
    REQUIRE(bytes.size() == 200'000);
    for (const size_t position : {0ul, 70'000ul, 131'071ul, 199'999ul}) {
        CAPTURE(position);
        bytes[position] ^= 1;
        std::ofstream(path, std::ios::binary) << bytes;
        CHECK(data::TokenDataset::open(folder / "a").fingerprint() != before);
        bytes[position] ^= 1;
    }
    std::ofstream(path, std::ios::binary) << bytes;
    CHECK(data::TokenDataset::open(folder / "a").fingerprint() == before);
}

TEST_CASE("run lock: a second job is refused with the first one's name, and none is left over") {
    const test::TemporaryDirectory folder;
    {
        const RunLock first(folder.path());
        CHECK(first.held());
        check_contains(message_of([&] { RunLock second(folder.path()); }),
                       {"another job writes to this run", concat("process ", ::getpid(), " on "),
                        "wait for it or stop it"});
    }
    CHECK(RunLock(folder.path()).held());
    std::ofstream(folder / "lock")
        << "\x1b[31m\x7f\x80" << std::string(500, 'x') << "\nsecond line";
    const RunLock again(folder.path());
    CHECK(read_file(folder / "lock").starts_with("process "));
    check_contains(message_of([&] { RunLock nowhere(folder / "gone"); }), {"cannot open"});
}

TEST_CASE("pretrain: two jobs on one directory, the second changes nothing") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::small_recipe(folder);
    std::string refused;
    const auto summary = pretrain(
        machine.context, recipe, {.stop_requested = [&] {
            test::Machine other;
            if (!refused.empty()) return false;
            refused = message_of([&] { pretrain(other.context, recipe, {.force = true}); });
            return false;
        }});
    CHECK(summary.finished);
    CHECK(refused.find("another job writes to this run") != std::string::npos);
}
