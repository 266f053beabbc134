// The angles of rotary position embedding: plain, or stretched by YaRN (Peng et al. 2023; report
// §4.3).
#pragma once

#include <vector>

#include "core/tensor.h"
#include "model/config.h"

namespace hadal::model {

/// θ_i for each pair of channels, i < qk_rope_head_dim / 2. Plain: rope_theta^(−2i/dim). YaRN:
/// pairs that turn more than beta_fast times within the original length keep θ_i, those that turn
/// less than beta_slow times take θ_i / factor, a linear ramp over the pair's index lies between.
std::vector<double> rotary_frequencies(const ModelConfig& config);

/// The table that ops::rotary reads: row p holds cos(p·θ_0), sin(p·θ_0), cos(p·θ_1), …, times the
/// ratio of YaRN's two mscales (1 in V3). Angles are computed in double.
Tensor rotary_table(const ModelConfig& config, int64_t positions,
                    DType dtype);  // [positions, qk_rope_head_dim] f32|f64

/// YaRN's 0.1·mscale·ln(factor) + 1, and 1 for factor ≤ 1.
double yarn_mscale(double factor, double mscale);

}  // namespace hadal::model
