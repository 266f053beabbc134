#include "train/export_model.h"

#include "checkpoint/hugging_face.h"
#include "model/fp8_reference.h"
#include "model/support.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::model;
using namespace hadal::train;

TEST_CASE(
    "export: a model trained in FP8 is written as DeepSeek writes block-FP8, and loads again") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    for (const auto& [name, recipe] : test::fp8_recipes()) {
        CAPTURE(name);
        const ModelConfig config = preset("tiny");
        Model model{config, init_weights(machine.context, config, Precision(recipe), 7), {}};
        export_model(model, "", folder / name);
        const auto files = checkpoint::HuggingFace::open(folder / name);
        const ModelConfig written = read_config(folder / name);
        const bool blocks = recipe.weight.tiling == formats::kBlockTiles;
        CHECK(written.block_fp8 == blocks);
        for (const Parameter& p : parameters(config, model.weights)) {
            CAPTURE(p.name);
            const bool codes =
                blocks && p.linear != nullptr && p.name.find("eh_proj") == std::string::npos;
            CHECK(files.contains(p.name + "_scale_inv") == codes);
            if (p.linear == nullptr) continue;
            if (codes) {
                CHECK(test::same_bits(files.load(p.name), p.linear->codes.codes));
                CHECK(test::same_bits(files.load(p.name + "_scale_inv"), p.linear->codes.scale));
            } else {
                CHECK(test::same_bits(files.load(p.name), test::as(*p.tensor, DType::bf16)));
            }
        }
        std::vector<std::string> unknown;
        load_weights(written, files, DType::bf16, &unknown);
        CHECK(unknown.empty());
        // Codes and scales are what a run that starts from it multiplies by.
        Weights again = load_weights(written, files, Precision(recipe));
        quantize_linears(machine.context, written, Precision(recipe), again);
        const auto& expected = model.weights.layers[0].self_attn.o_proj.codes;
        if (blocks)
            CHECK(test::same_bits(again.layers[0].self_attn.o_proj.codes.codes, expected.codes));
    }
}

TEST_CASE(
    "export: a model trained in FP8, scored in FP8, has the validation loss of its training") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe =
        test::small_recipe(folder, {"precision.linear=fp8", "validation.sequences=2"});
    Trainer trainer(machine.context, recipe);
    for (int i = 0; i < 5; ++i) trainer.step();
    const double expected = trainer.validate()->loss;
    export_model(trainer.model(), "", folder / "model");

    const Model model = load_fp8_model(folder / "model");
    CHECK(precision_of(model).fp8.has_value());
    const std::vector<std::filesystem::path> paths(recipe.data.validation.begin(),
                                                   recipe.data.validation.end());
    data::ValidationLoader loader(paths, recipe.data.seq_len, 64);
    const TokenBatch batch = make_batch(loader.samples(0, 2));
    Saved saved =
        allocate_saved(model.config, batch.ids.count(), precision_of(model), false, test::owned());
    const LossResult result = evaluate(machine.context, model, batch, {}, saved);
    CHECK(result.loss_sum / double(result.targets) == expected);

    const Model wide = load_model(folder / "model", DType::bf16);  // dequantised: nearly
    CHECK_FALSE(precision_of(wide).fp8.has_value());
    Saved wide_saved =
        allocate_saved(wide.config, batch.ids.count(), DType::bf16, false, test::owned());
    const LossResult rounded = evaluate(machine.context, wide, batch, {}, wide_saved);
    CHECK(rounded.loss_sum != result.loss_sum);
    CHECK(rounded.loss_sum == doctest::Approx(result.loss_sum).epsilon(0.01));

    const Recipe plain = test::small_recipe(folder);
    Trainer bf16(machine.context, plain);
    export_model(bf16.model(), "", folder / "bf16");
    CHECK_THROWS_WITH_AS(load_fp8_model(folder / "bf16"), doctest::Contains("no block-FP8"), Error);
}
