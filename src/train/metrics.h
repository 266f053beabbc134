// One step's line in RUN/metrics.jsonl.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::train {

struct Metrics {
    int64_t step = 0;    // counts from 1
    int64_t tokens = 0;  // seen after this step
    double loss = 0;     // nats per token, as for the next three
    std::optional<double> mtp_loss = std::nullopt;
    double balance_loss = 0;
    double grad_norm = 0;
    double learning_rate = 0;
    int64_t batch = 0;    // sequences
    int64_t seq_len = 0;  // tokens
    double tokens_per_second = 0;
    double step_seconds = 0;
    double data_seconds = 0;         // of them, reading the batch
    double max_violation = 0;        // largest expert load / mean − 1, worst layer
    double expert_load_entropy = 0;  // / ln(experts), mean over layers: 1 is even
    // max_violation of each MoE layer, MTP's last
    std::vector<double> layer_max_violation = {};
    int64_t dead_experts = 0;      // without a token in this step
    int64_t starved_experts = 0;   // see balance_monitor.h
    int64_t skipped = 0;           // steps skipped so far
    int64_t spikes = 0;            // of loss or gradient norm so far
    int64_t failed_snapshots = 0;  // since the process began
    int64_t bytes_peak = 0;        // of the process
    // Of a step after which there was a validation:
    std::optional<double> validation_loss = std::nullopt;
    std::optional<double> validation_mtp_loss = std::nullopt;
    std::optional<double> ema_validation_loss = std::nullopt;  // of the averaged parameters
    std::optional<double> bits_per_byte = std::nullopt;
    // As max_violation, over the whole validation set: single batches are of few documents, whose
    // experts differ.
    std::optional<double> validation_max_violation = std::nullopt;
};

std::string metrics_line(const Metrics& metrics);
/// nullopt for a line that is not whole: the last one after a kill.
std::optional<Metrics> parse_metrics_line(std::string_view line);

/// Largest load / mean − 1 of each layer.
std::vector<double> layer_max_violation(const std::vector<std::vector<int64_t>>& expert_load);
/// The same of the worst layer; 0 without MoE layers.
double max_violation(const std::vector<std::vector<int64_t>>& expert_load);
/// Mean over layers of the load's entropy / ln(experts); 1 without MoE layers.
double expert_load_entropy(const std::vector<std::vector<int64_t>>& expert_load);

}  // namespace hadal::train
