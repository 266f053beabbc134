#include "eval/expert_importance.h"

#include <doctest/doctest.h>

#include <cmath>

#include "eval/text_windows.h"
#include "model/rotary_scaling.h"
#include "model/support.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::eval;

namespace {

const std::string kText =
    "the fox sat on the log, the log lay in the bog, the frog sat on the fox\n";

struct Setting {
    explicit Setting(int threads = 2) : machine(threads), tokenizer(trained()) {
        model.config = model::preset("tiny");
        model.config.initializer_range = 0.1;
        model.weights = model::init_weights(machine.context, model.config, DType::f32, 3);
        model.cos_sin = model::rotary_table(model.config, 256, DType::f32);
    }
    text::Tokenizer trained() {
        const std::vector<std::string_view> documents = {kText};
        return text::Tokenizer(
            text::train_bpe(machine.threads, documents, {.vocab_size = 280}).content());
    }
    model::ColumnImportance importance(int64_t window = 256) {
        return expert_importance(machine.context, model, tokenizer, kText, window);
    }
    test::Machine machine;
    text::Tokenizer tokenizer;
    model::Model model;
};

/// Σ over the layer's tokens that chose `expert` of x², column by column, and how many they are:
/// from the router's ids, not from the sorted rows.
std::vector<double> squares_by_id(const model::LayerSaved& layer, int32_t expert, double& tokens) {
    const Tensor& x = layer.normed_middle.values;
    std::vector<double> sums(size_t(x.shape()[1]));
    tokens = 0;
    for (int64_t t = 0; t < x.shape()[0]; ++t) {
        for (const int32_t id : layer.moe.ids.row<int32_t>(t)) {
            if (id != expert && expert >= 0) continue;
            ++tokens;
            for (size_t i = 0; i < sums.size(); ++i)
                sums[i] += std::pow(double(x.row<float>(t)[i]), 2);
        }
    }
    return sums;
}

}  // namespace

TEST_CASE("expert importance: the mean square of what each expert's tokens bring") {
    Setting s;
    const model::ColumnImportance found = s.importance();
    ForwardMemory memory(s.model);
    each_window(s.tokenizer, kText, 256, [&](const model::TokenBatch& batch) {
        model::Saved& saved = memory.of(batch.ids.count());
        model::forward(s.machine.context, s.model, batch, saved);
        for (int64_t i = 0; i < s.model.config.num_hidden_layers; ++i) {
            if (!s.model.config.is_moe_layer(i)) continue;
            double all_tokens = 0, tokens = 0;
            const auto all = squares_by_id(saved.layers[size_t(i)], -1, all_tokens);
            for (int32_t e = 0; e < s.model.config.n_routed_experts; ++e) {
                const auto own = squares_by_id(saved.layers[size_t(i)], e, tokens);
                const auto name = concat("model.layers.", i, ".mlp.experts.", e, ".up_proj.weight");
                CAPTURE(name);
                REQUIRE(found.contains(name));
                const auto& columns = found.find(name)->second;
                REQUIRE(columns.size() == own.size());
                for (size_t c = 0; c < own.size(); ++c) {
                    const double mean = (own[c] + 16 * all[c] / all_tokens) / (tokens + 16);
                    CHECK(double(columns[c]) == doctest::Approx(mean).epsilon(1e-6));
                }
            }
        }
    });
}

TEST_CASE("expert importance: every routed expert has three, down_proj's of its own width") {
    Setting s;
    const model::ColumnImportance found = s.importance();
    int64_t experts = 0;
    for (int64_t i = 0; i < s.model.config.num_hidden_layers; ++i)
        experts += s.model.config.is_moe_layer(i) ? s.model.config.n_routed_experts : 0;
    CHECK(int64_t(found.size()) == 3 * experts);
    for (const auto& [name, columns] : found) {
        const bool is_down = name.ends_with("down_proj.weight");
        CHECK(int64_t(columns.size()) ==
              (is_down ? s.model.config.moe_intermediate_size : s.model.config.hidden_size));
        for (const float value : columns) CHECK((std::isfinite(value) && value >= 0));
    }
}

TEST_CASE("expert importance: the same bits with one thread and with four") {
    CHECK(Setting(1).importance(20) == Setting(4).importance(20));
}
