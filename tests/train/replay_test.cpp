#include "train/replay.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/file_map.h"
#include "train/fault_support.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

namespace fs = std::filesystem;

/// The last line of metrics.jsonl.
Metrics last_metrics(const fs::path& run) {
    std::ifstream file(run / "metrics.jsonl");
    std::string line, last;
    while (std::getline(file, line)) last = line;
    return *parse_metrics_line(last);
}

std::vector<fs::path> records(const fs::path& run) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(run / "spikes")) {
        if (entry.path().extension() == ".json") found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
}

}  // namespace

TEST_CASE("replay: a step on corrupt text is found, recorded, and run again to the same bits") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    for (const std::string state : {"false", "true"}) {
        CAPTURE(state);
        const Recipe recipe = test::corrupt_recipe(
            folder, {"guard.save_state=" + state, "snapshot.every=20", "snapshot.keep=1000",
                     "run.out=" + (folder / ("run" + state)).string()});
        std::vector<std::string> warnings;
        const auto summary =
            pretrain(machine.context, recipe,
                     {.warn = [&](const std::string& w) { warnings.push_back(w); }});
        const fs::path run = recipe.run.out;
        REQUIRE(last_metrics(run).spikes >= 5);
        CHECK(last_metrics(run).skipped == 0);
        CHECK(summary.finished);
        REQUIRE(fs::exists(run / "spikes"));
        const auto found = records(run);
        REQUIRE_FALSE(found.empty());
        CHECK(warnings.size() == size_t(last_metrics(run).spikes));
        CHECK(warnings.front().find("deviations above its median") != std::string::npos);

        const Replay replayed = replay(machine.context, found.front(), {});
        CHECK(replayed.same_bits);
        CHECK(replayed.loss == replayed.record.loss);
        CHECK(replayed.replayed_from ==
              (state == "true" ? replayed.record.step - 1 : (replayed.record.step - 1) / 20 * 20));
        // The gradient's norm is that of the layers together, and the loss the sequences' mean.
        double squares = 0, losses = 0;
        for (const auto& layer : replayed.layers) squares += layer.grad_norm * layer.grad_norm;
        for (const auto& sequence : replayed.sequences) losses += sequence.loss;
        CHECK(std::sqrt(squares) == doctest::Approx(replayed.grad_norm));
        CHECK(losses / double(replayed.sequences.size()) == doctest::Approx(replayed.loss));
        CHECK(std::ranges::is_sorted(replayed.sequences, std::greater(), &ReplayedSequence::loss));
        // The worst sequence is one of the corrupt ones: their ids do not count upwards.
        const auto& ids = replayed.sequences.front().first_ids;
        int64_t steps_up = 0;
        for (size_t i = 1; i < ids.size(); ++i) steps_up += (ids[i] == (ids[i - 1] + 1) % 64);
        CHECK(steps_up < int64_t(ids.size()) / 2);
        for (const auto& layer : replayed.layers) {
            CAPTURE(layer.name);
            CHECK(layer.grad_norm > 0);
            CHECK(layer.not_finite == 0);
            CHECK(std::isfinite(layer.activation_max));
            if (layer.name.starts_with("layer")) CHECK(layer.activation_max > 0);
        }
    }
}

TEST_CASE("replay: without any snapshot it begins with fresh weights") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::corrupt_recipe(folder, {"snapshot.every=0"});
    pretrain(machine.context, recipe, {});
    const Replay replayed = replay(machine.context, records(recipe.run.out).front(), {});
    CHECK(replayed.same_bits);
    CHECK(replayed.replayed_from == 0);
    CHECK(replayed.snapshot == "");
}

TEST_CASE("replay: a batch that is not finite names the layers and sequences it broke") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::poisoned_recipe(machine.context, folder);
    const auto summary = pretrain(machine.context, recipe, {});
    CHECK(summary.finished);
    const Metrics last = last_metrics(recipe.run.out);
    REQUIRE(last.skipped >= 1);
    CHECK(last.skipped < recipe.run.steps);
    const auto found = records(recipe.run.out);
    REQUIRE(int64_t(found.size()) == last.skipped);
    const Replay replayed = replay(machine.context, found.front(), {});
    CHECK(replayed.same_bits);
    CHECK(replayed.record.skipped);
    CHECK(std::isnan(replayed.sequences.front().loss));
    CHECK(std::isinf(replayed.sequences.front().activation_max));
    CHECK(std::isfinite(replayed.sequences.back().loss));
    CHECK(std::ranges::any_of(replayed.layers, [](const auto& l) { return l.not_finite > 0; }));
}

TEST_CASE("replay: what is no record, or of other data, is refused by name") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::corrupt_recipe(folder, {"snapshot.every=0"});
    pretrain(machine.context, recipe, {});
    const fs::path record = records(recipe.run.out).front();
    const auto refuse = [&](const fs::path& path, const std::string& part) {
        CHECK_THROWS_WITH_AS(replay(machine.context, path, {}), doctest::Contains(part.c_str()),
                             Error);
    };
    refuse(folder / "nowhere.json", "nowhere.json");
    write_file_atomically(folder / "other.json", "{\"step\": 3}");
    refuse(folder / "other.json", "not the record of a step");
    const std::string text = read_file(record);
    write_file_atomically(record, text.substr(0, text.size() / 2));
    refuse(record, record.filename().string());
    write_file_atomically(record, text);
    fs::path ids = record;
    fs::remove(ids.replace_extension(".safetensors"));
    refuse(record, ".safetensors");
}
