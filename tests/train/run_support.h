// A small run for tests: random or packed ids, a model of some ten thousand parameters.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/temporary_directory.h"
#include "model/support.h"
#include "train/pretrain.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace hadal::test {

/// Ids with a pattern that a model learns within some steps: runs that count upwards.
inline std::string write_counting_data(const TemporaryDirectory& folder) {
    const std::string path = (folder / "counting").string();
    data::TokenDatasetWriter writer(path, 64);
    for (int32_t document = 0; document < 40; ++document) {
        std::vector<int32_t> ids;
        for (int32_t i = 0; i < 50; ++i) ids.push_back((document * 7 + i) % 64);
        writer.add_document(ids);
    }
    writer.finish();
    return path;
}

inline train::Recipe small_recipe(const TemporaryDirectory& folder,
                                  std::vector<std::string> sets = {}) {
    const std::string data = write_counting_data(folder);
    const std::string text = concat(
        "[run]\nout = \"", (folder / "run").string(),
        "\"\nsteps = 12\nseed = 3\n[model]\npreset = \"tiny\"\n",
        "vocab_size = 64\nhidden_size = 32\nnum_hidden_layers = 2\nnum_attention_heads = "
        "2\nq_lora_rank = 16\n",
        "kv_lora_rank = 16\nqk_nope_head_dim = 8\nqk_rope_head_dim = 8\nv_head_dim = "
        "8\nintermediate_size = 48\n",
        "moe_intermediate_size = 16\nn_routed_experts = 8\nn_group = 2\ntopk_group = 1\n",
        "[data]\ntrain = [\"", data, "\"]\nvalidation = [\"", data, "\"]\nseq_len = 24\n",
        "[batch]\nsequences = 4\nmicro_batch = 2\n[learning_rate]\npeak = 5e-3\nwarmup_steps = 3\n",
        "[validation]\nevery = 5\nsequences = 7\n[snapshot]\nevery = 0\n");
    return train::parse_recipe(text, "small", sets);
}

/// All weights as bytes.
inline std::string weight_bytes(train::Trainer& trainer) {
    std::string bytes;
    for (const model::Parameter& p :
         model::parameters(trainer.model().config, trainer.model().weights)) {
        bytes.append(reinterpret_cast<const char*>(p.tensor->data()), size_t(p.tensor->bytes()));
    }
    return bytes;
}

}  // namespace hadal::test
