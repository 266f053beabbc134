// Running golden checkpoints: a context, a model of a directory under tests/golden, the stored
// tensors, comparisons.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>

#include "checkpoint/safetensors.h"
#include "core/context.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"
#include "model/transformer.h"

namespace hadal::test {

inline std::filesystem::path golden_path(const std::string& name) {
    return std::filesystem::path(HADAL_TEST_DATA) / "golden" / name;
}

/// A context that owns its threads and workspace.
struct Machine {
    explicit Machine(int num_threads = 2, Isa isa = best_isa())
        : threads(num_threads), context{threads, workspace, isa} {}
    ThreadPool threads;
    Workspace workspace;
    Context context;
};

inline model::Allocate owned() {
    return [](std::string_view, Shape shape, DType dtype) { return Tensor::zeros(shape, dtype); };
}

/// Golden ids [batch, seq] i64 with targets of the next token, none at the last position of a row.
inline model::TokenBatch golden_batch(const Tensor& ids) {
    const auto [rows, length] = ids.shape<2>();
    model::TokenBatch batch;
    batch.ids = Tensor::zeros({rows * length}, DType::i32);
    batch.targets = Tensor::zeros({rows * length}, DType::i32);
    batch.positions = Tensor::zeros({rows * length}, DType::i32);
    for (int64_t s = 0; s < rows; ++s) {
        batch.starts.push_back(s * length);
        for (int64_t i = 0; i < length; ++i) {
            const auto t = size_t(s * length + i);
            batch.ids.values<int32_t>()[t] = int32_t(ids.row<int64_t>(s)[size_t(i)]);
            batch.targets.values<int32_t>()[t] =
                i + 1 < length ? int32_t(ids.row<int64_t>(s)[size_t(i) + 1]) : -1;
            batch.positions.values<int32_t>()[t] = int32_t(i);
        }
    }
    batch.starts.push_back(rows * length);
    return batch;
}

/// Largest |actual − expected| − rtol·|expected|: at most the atol that a golden's README states.
inline double excess(std::span<const float> actual, std::span<const float> expected, double rtol) {
    REQUIRE(actual.size() == expected.size());
    double worst = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
        const double difference = std::fabs(double(actual[i]) - double(expected[i])) -
                                  rtol * std::fabs(double(expected[i]));
        worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
    return worst;
}

inline double relative_l2(std::span<const float> actual, std::span<const float> expected) {
    REQUIRE(actual.size() == expected.size());
    double difference = 0, norm = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
        difference += std::pow(double(actual[i]) - double(expected[i]), 2);
        norm += std::pow(double(expected[i]), 2);
    }
    return std::sqrt(difference / norm);
}

/// Experts in INT4 and everything else that can be in INT8, multiplied by activations in INT8, as a
/// file of `quantize --to int4` is loaded.
inline model::Weights in_integers(const model::ModelConfig& config, model::Weights weights) {
    const auto pack = [](model::Linear& linear, bool is_expert) {
        linear.int8_activations = true;
        if (is_expert) {
            linear.int4 = formats::Int4Matrix::uninitialized(linear.weight.shape());
            formats::quantize_int4(linear.weight, {}, linear.int4);
        } else {
            linear.int8 = formats::Int8Matrix::uninitialized(linear.weight.shape());
            formats::quantize_int8(linear.weight, linear.int8);
        }
        linear.weight = Tensor();
    };
    for (const model::Parameter& parameter : model::parameters(config, weights)) {
        if (!model::is_quantised(parameter) || parameter.name.ends_with("kv_b_proj.weight"))
            continue;
        pack(*parameter.linear, parameter.role == model::Role::expert);
    }
    pack(weights.lm_head, false);
    return weights;
}

}  // namespace hadal::test
