#include "eval/expert_importance.h"

#include <algorithm>
#include <string>
#include <vector>

#include "eval/text_windows.h"
#include "formats/bfloat16.h"

namespace hadal::eval {

namespace {

/// Sums of squares of columns, expert by expert.
struct ColumnSums {
    std::vector<std::vector<double>> sums;  // [experts][columns]
    std::vector<int64_t> rows;              // [experts]

    /// rows of `x` [rows, columns], expert e's from offsets[e].
    void add(const Tensor& x, std::span<const int64_t> offsets) {
        sums.resize(offsets.size() - 1, std::vector<double>(size_t(x.shape()[1])));
        rows.resize(offsets.size() - 1);
        for (size_t e = 0; e < sums.size(); ++e) {
            rows[e] += offsets[e + 1] - offsets[e];
            for (int64_t row = offsets[e]; row < offsets[e + 1]; ++row) add_row(x, row, sums[e]);
        }
    }

    /// Expert e's mean squares, with `kLean` rows of the layer's mean among its own.
    std::vector<float> means(size_t e) const {
        constexpr double kLean = 16;
        int64_t all_rows = 0;
        for (const int64_t count : rows) all_rows += count;
        std::vector<float> result;
        for (size_t column = 0; column < sums[e].size(); ++column) {
            double all = 0;
            for (const auto& expert : sums) all += expert[column];
            const double layer_mean = all / double(std::max<int64_t>(all_rows, 1));
            result.push_back(
                float((sums[e][column] + kLean * layer_mean) / (double(rows[e]) + kLean)));
        }
        return result;
    }

  private:
    static void add_row(const Tensor& x, int64_t row, std::vector<double>& sum) {
        if (x.dtype() == DType::f32) {
            const auto values = x.row<float>(row);
            for (size_t i = 0; i < sum.size(); ++i) sum[i] += double(values[i]) * double(values[i]);
        } else {
            const auto values = x.row<bf16>(row);
            for (size_t i = 0; i < sum.size(); ++i) {
                const auto value = double(to_float(values[i]));
                sum[i] += value * value;
            }
        }
    }
};

struct LayerSums {
    ColumnSums input;    // of gate_proj and up_proj
    ColumnSums product;  // of down_proj
};

}  // namespace

model::ColumnImportance expert_importance(Context& context, const model::Model& model,
                                          const text::Tokenizer& tokenizer, std::string_view text,
                                          int64_t window) {
    std::vector<LayerSums> layers(size_t(model.config.num_hidden_layers));
    ForwardMemory memory(model);
    each_window(tokenizer, text, window, [&](const model::TokenBatch& batch) {
        model::Saved& saved = memory.of(batch.ids.count());
        model::forward(context, model, batch, saved);
        // Layers side by side: each sums its own rows in the order of the text.
        context.threads.parallel_for(int64_t(layers.size()), [&](int64_t i) {
            if (!model.config.is_moe_layer(i)) return;
            const model::ExpertsSaved& moe = saved.layers[size_t(i)].moe;
            layers[size_t(i)].input.add(moe.x_rows.values, moe.offsets.values<int64_t>());
            layers[size_t(i)].product.add(moe.product.values, moe.offsets.values<int64_t>());
        });
    });
    model::ColumnImportance importance;
    for (size_t i = 0; i < layers.size(); ++i) {
        for (size_t e = 0; e < layers[i].input.sums.size(); ++e) {
            const std::string expert = concat("model.layers.", i, ".mlp.experts.", e, ".");
            importance[expert + "gate_proj.weight"] = importance[expert + "up_proj.weight"] =
                layers[i].input.means(e);
            importance[expert + "down_proj.weight"] = layers[i].product.means(e);
        }
    }
    return importance;
}

}  // namespace hadal::eval
