#include "train/export_model.h"

#include "checkpoint/hugging_face.h"
#include "checkpoint/temporary_directory.h"
#include "model/fp8_reference.h"
#include "model/support.h"

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
