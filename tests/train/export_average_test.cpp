#include "train/export_average.h"

#include <filesystem>

#include "core/file_map.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

std::string model_bytes(const std::filesystem::path& directory) {
    return read_file(directory / "model.safetensors");
}

}  // namespace

TEST_CASE("export average: out of the last snapshot comes the model that the run itself exports") {
    for (const std::string precision : {"bf16", "fp8"}) {
        CAPTURE(precision);
        const test::TemporaryDirectory folder;
        test::Machine machine;
        std::vector<std::string> sets = {"ema.decay=0.8", "balance.bias_rate=0.01",
                                         "snapshot.every=5"};
        if (precision == "fp8") sets.push_back("precision.linear=fp8");
        const Recipe recipe = test::small_recipe(folder, sets);
        pretrain(machine.context, recipe, {});
        const ExportedAverage exported =
            export_average(machine.context, folder / "run", {.directory = folder / "again"});
        CHECK(exported.step == 12);
        CHECK(model_bytes(folder / "again") == model_bytes(folder / "run" / "model-ema"));
        CHECK(model_bytes(folder / "again") != model_bytes(folder / "run" / "model"));

        std::filesystem::remove_all(folder / "run" / "model-ema");
        CHECK(export_average(machine.context, folder / "run", {}).model ==
              (folder / "run" / "model-ema").string());
        CHECK(model_bytes(folder / "again") == model_bytes(folder / "run" / "model-ema"));
    }
}

TEST_CASE("export average: a run without averages and a place without snapshots are named") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    CHECK_THROWS_WITH_AS(export_average(machine.context, folder / "run", {}),
                         doctest::Contains("no whole snapshot"), Error);
    pretrain(machine.context, test::small_recipe(folder), {});
    CHECK_THROWS_WITH_AS(export_average(machine.context, folder / "run", {}),
                         doctest::Contains("keeps no average"), Error);
}
