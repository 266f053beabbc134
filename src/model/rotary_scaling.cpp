#include "model/rotary_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal::model {

namespace {

/// The pair index, as a real number, whose wave turns `turns` times within the original length.
double pair_that_turns(double turns, const ModelConfig& config) {
    const auto dim = double(config.qk_rope_head_dim);
    const auto length = double(config.rope_scaling->original_max_position_embeddings);
    return dim * std::log(length / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
}

template <class T>
void fill_table(const std::vector<double>& frequencies, double magnitude, Tensor& table) {
    const auto [positions, dim] = table.shape<2>();
    for (int64_t p = 0; p < positions; ++p) {
        const std::span<T> row = table.row<T>(p);
        for (size_t i = 0; i < size_t(dim) / 2; ++i) {
            const double angle = double(p) * frequencies[i];
            row[2 * i] = T(std::cos(angle) * magnitude);
            row[2 * i + 1] = T(std::sin(angle) * magnitude);
        }
    }
}

}  // namespace

double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

std::vector<double> rotary_frequencies(const ModelConfig& config) {
    const int64_t pairs = config.qk_rope_head_dim / 2;
    std::vector<double> frequencies(static_cast<size_t>(pairs));
    for (size_t i = 0; i < frequencies.size(); ++i) {
        frequencies[i] =
            std::pow(config.rope_theta, -2 * double(i) / double(config.qk_rope_head_dim));
    }
    if (!config.rope_scaling) return frequencies;
    const auto last = double(config.qk_rope_head_dim - 1);
    const double low =
        std::clamp(std::floor(pair_that_turns(config.rope_scaling->beta_fast, config)), 0.0, last);
    double high =
        std::clamp(std::ceil(pair_that_turns(config.rope_scaling->beta_slow, config)), 0.0, last);
    if (low == high) high += 0.001;  // as the reference does: a step, not a division by zero
    for (size_t i = 0; i < frequencies.size(); ++i) {
        const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
        frequencies[i] =
            frequencies[i] * (1 - ramp) + frequencies[i] / config.rope_scaling->factor * ramp;
    }
    return frequencies;
}

Tensor rotary_table(const ModelConfig& config, int64_t positions, DType dtype) {
    double magnitude = 1;
    if (config.rope_scaling) {
        const YarnScaling& yarn = *config.rope_scaling;
        magnitude =
            yarn_mscale(yarn.factor, yarn.mscale) / yarn_mscale(yarn.factor, yarn.mscale_all_dim);
    }
    // [positions, qk_rope_head_dim]
    Tensor table = Tensor::uninitialized({positions, config.qk_rope_head_dim}, dtype);
    const std::vector<double> frequencies = rotary_frequencies(config);
    if (dtype == DType::f64) {
        fill_table<double>(frequencies, magnitude, table);
    } else {
        fill_table<float>(frequencies, magnitude, table);
    }
    return table;
}

}  // namespace hadal::model
