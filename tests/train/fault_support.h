// Runs that go wrong on purpose: a set of token ids of which some documents are noise, and a model
// in which one token poisons every sequence that holds it.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "core/random.h"
#include "model/save_model.h"
#include "train/export_model.h"
#include "train/run_support.h"

namespace hadal::test {

/// Documents that count upwards below 60, and after every `good` of them one of 25 ids that
/// `bad(i)` gives.
template <class Bad>
std::string write_mixed_data(const TemporaryDirectory& folder, const std::string& name, int good,
                             const Bad& bad) {
    const std::string path = (folder / name).string();
    data::TokenDatasetWriter writer(path, 64);
    for (int32_t document = 0; document < 400; ++document) {
        std::vector<int32_t> ids;
        for (int32_t i = 0; i < 25; ++i) {
            ids.push_back(document % (good + 1) == good ? bad(document * 25 + i)
                                                        : (document * 7 + i) % 60);
        }
        writer.add_document(ids);
    }
    writer.finish();
    return path;
}

/// One document in 50 is noise: once the rest is learned, a batch that holds it stands out.
inline train::Recipe corrupt_recipe(const TemporaryDirectory& folder,
                                    std::vector<std::string> sets = {}) {
    const std::string data = write_mixed_data(folder, "corrupt", 49, [](int32_t i) {
        return int32_t(random_bits(5, 0, uint64_t(i)) % 60);
    });
    std::vector<std::string> all = {
        "data.train=[\"" + data + "\"]", "run.steps=200",   "batch.sequences=2",
        "batch.micro_batch=1",           "guard.window=32", "validation.every=0"};
    all.insert(all.end(), sets.begin(), sets.end());
    return small_recipe(folder, all);
}

/// Starts from a model whose embedding of token 63 is not a number, on data that holds it in one
/// document of `good + 1`.
inline train::Recipe poisoned_recipe(Context& context, const TemporaryDirectory& folder,
                                     std::vector<std::string> sets = {}, int good = 19) {
    const std::string data =
        write_mixed_data(folder, "poisoned", good, [](int32_t i) { return i % 5 == 0 ? 63 : 7; });
    std::vector<std::string> all = {"data.train=[\"" + data + "\"]", "validation.every=0",
                                    "data.validation=[]"};
    const train::Recipe fresh = small_recipe(folder, all);
    {
        train::Trainer trainer(context, fresh);
        trainer.model().weights.embed_tokens.row<bf16>(63)[0] = bf16{0x7FC0};  // NaN
        train::export_model(trainer.model(), "", folder / "poison");
    }
    all.insert(all.end(), sets.begin(), sets.end());
    train::Recipe recipe = small_recipe(folder, all);
    recipe.init_from = (folder / "poison").string();
    return recipe;
}

}  // namespace hadal::test
