#include "train/export_average.h"

#include <nlohmann/json.hpp>

#include "checkpoint/snapshot.h"
#include "core/error.h"
#include "core/json.h"
#include "ops/convert.h"
#include "train/export_model.h"
#include "train/recipe.h"

namespace hadal::train {

namespace {

namespace fs = std::filesystem;

checkpoint::Snapshot newest_snapshot(const fs::path& run, const AverageExport& options) {
    checkpoint::LatestSnapshot latest = checkpoint::open_latest_snapshot(run / "snapshots");
    for (const std::string& why : latest.skipped) options.warn(why);
    if (latest.snapshot) return std::move(*latest.snapshot);
    throw Error(Error::Kind::bad_input,
                concat("no whole snapshot: ", (run / "snapshots").string(),
                       " (give the directory of a run, run.out of its recipe, once it has saved)"));
}

Recipe recipe_of(const checkpoint::Snapshot& snapshot) {
    const std::string where = snapshot.directory().string();
    try {
        const auto state = parse_json(snapshot.state(), where);
        return parse_recipe(state.at("recipe").get<std::string>(), where, {});
    } catch (const nlohmann::json::exception& error) {
        throw Error(Error::Kind::corrupt_file,
                    concat("the snapshot's state.json lacks a value: ", where, ": ", error.what()));
    }
}

/// A parameter's average; of a router bias, which no gradient moves, its value.
Tensor stored_value(const checkpoint::Snapshot& snapshot, const model::Parameter& parameter) {
    const bool bias = parameter.role == model::Role::router_bias;
    const std::string name = concat(bias ? "bias." : "ema.", parameter.name);
    if (!bias && !snapshot.contains(name)) {
        throw Error(Error::Kind::bad_input, concat("the run keeps no average of its parameters: ",
                                                   snapshot.directory().string(),
                                                   " (--resume --set ema.decay=0.999 "
                                                   "--allow-change ema.decay begins one)"));
    }
    Tensor stored = snapshot.load(name);
    if (stored.shape() == parameter.shape && stored.dtype() == DType::f32) return stored;
    throw Error(Error::Kind::corrupt_file,
                concat("tensor '", name, "' of the snapshot is ", stored.shape().text(),
                       ", expected ", parameter.shape.text(), ": ", snapshot.directory().string()));
}

model::Model average_of(Context& context, const checkpoint::Snapshot& snapshot,
                        const Recipe& recipe) {
    model::Model average{.config = recipe.model, .weights = {}, .cos_sin = {}};
    average.fp8 = recipe.precision().fp8;
    for (const model::Parameter& p : model::parameters(recipe.model, average.weights)) {
        const Tensor stored = stored_value(snapshot, p);
        *p.tensor = Tensor::uninitialized(p.shape, model::parameter_dtype(p, recipe.precision()));
        ops::convert(context, stored, *p.tensor);
    }
    model::share_head(recipe.model, average.weights);
    model::quantize_linears(context, recipe.model, recipe.precision(), average.weights);
    return average;
}

}  // namespace

ExportedAverage export_average(Context& context, const fs::path& run,
                               const AverageExport& options) {
    const checkpoint::Snapshot snapshot = newest_snapshot(run, options);
    const Recipe recipe = recipe_of(snapshot);
    model::Model average = average_of(context, snapshot, recipe);
    const fs::path directory = options.directory.empty() ? run / "model-ema" : options.directory;
    export_model(average, recipe.data.tokenizer, directory);
    return {.step = snapshot.step(),
            .snapshot = snapshot.directory().string(),
            .model = directory.string()};
}

}  // namespace hadal::train
