#include "train/metrics.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace hadal::train {

namespace {

using Json = nlohmann::ordered_json;

template <class T>
void read(const Json& json, const char* name, T& value) {
    value = json.at(name).get<T>();
}

/// What is not finite is stored as null.
void read(const Json& json, const char* name, double& value) {
    value = json.at(name).is_null() ? std::nan("") : json.at(name).get<double>();
}

/// A key that runs of older versions do not have.
template <class T>
void read_if(const Json& json, const char* name, T& value) {
    if (json.contains(name)) read(json, name, value);
}

void read(const Json& json, const char* name, std::optional<double>& value) {
    const auto found = json.find(name);
    if (found != json.end() && found->is_number()) value = found->get<double>();
}

}  // namespace

std::string metrics_line(const Metrics& m) {
    Json json;
    json["step"] = m.step;
    json["tokens"] = m.tokens;
    json["loss"] = m.loss;
    if (m.mtp_loss) json["mtp_loss"] = *m.mtp_loss;
    json["balance_loss"] = m.balance_loss;
    json["grad_norm"] = m.grad_norm;
    json["lr"] = m.learning_rate;
    json["batch"] = m.batch;
    json["seq_len"] = m.seq_len;
    json["tokens_per_second"] = m.tokens_per_second;
    json["step_seconds"] = m.step_seconds;
    json["data_seconds"] = m.data_seconds;
    json["max_violation"] = m.max_violation;
    if (!m.layer_max_violation.empty()) json["layer_max_violation"] = m.layer_max_violation;
    json["expert_load_entropy"] = m.expert_load_entropy;
    json["dead_experts"] = m.dead_experts;
    json["starved_experts"] = m.starved_experts;
    json["skipped"] = m.skipped;
    json["spikes"] = m.spikes;
    if (m.failed_snapshots > 0) json["failed_snapshots"] = m.failed_snapshots;
    json["bytes_peak"] = m.bytes_peak;
    if (m.validation_loss) json["validation_loss"] = *m.validation_loss;
    if (m.validation_mtp_loss) json["validation_mtp_loss"] = *m.validation_mtp_loss;
    if (m.ema_validation_loss) json["ema_validation_loss"] = *m.ema_validation_loss;
    if (m.bits_per_byte) json["bits_per_byte"] = *m.bits_per_byte;
    if (m.validation_max_violation) json["validation_max_violation"] = *m.validation_max_violation;
    return json.dump();
}

std::optional<Metrics> parse_metrics_line(std::string_view line) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return std::nullopt;
    Metrics m;
    try {
        read(json, "step", m.step);
        read(json, "tokens", m.tokens);
        read(json, "loss", m.loss);
        read(json, "mtp_loss", m.mtp_loss);
        read(json, "balance_loss", m.balance_loss);
        read(json, "grad_norm", m.grad_norm);
        read(json, "lr", m.learning_rate);
        read(json, "batch", m.batch);
        read(json, "seq_len", m.seq_len);
        read(json, "tokens_per_second", m.tokens_per_second);
        read(json, "step_seconds", m.step_seconds);
        read_if(json, "data_seconds", m.data_seconds);
        read(json, "max_violation", m.max_violation);
        read_if(json, "layer_max_violation", m.layer_max_violation);
        read(json, "expert_load_entropy", m.expert_load_entropy);
        read_if(json, "dead_experts", m.dead_experts);
        read_if(json, "starved_experts", m.starved_experts);
        read(json, "skipped", m.skipped);
        read_if(json, "spikes", m.spikes);
        read_if(json, "failed_snapshots", m.failed_snapshots);
        read(json, "bytes_peak", m.bytes_peak);
        read(json, "validation_loss", m.validation_loss);
        read(json, "validation_mtp_loss", m.validation_mtp_loss);
        read(json, "ema_validation_loss", m.ema_validation_loss);
        read(json, "bits_per_byte", m.bits_per_byte);
        read(json, "validation_max_violation", m.validation_max_violation);
    } catch (const Json::exception&) {
        return std::nullopt;
    }
    return m;
}

std::vector<double> layer_max_violation(const std::vector<std::vector<int64_t>>& expert_load) {
    std::vector<double> violations;
    for (const auto& load : expert_load) {
        const auto total = std::accumulate(load.begin(), load.end(), int64_t(0));
        const double mean = double(total) / double(load.size());
        violations.push_back(total == 0 ? 0 : double(*std::ranges::max_element(load)) / mean - 1);
    }
    return violations;
}

double max_violation(const std::vector<std::vector<int64_t>>& expert_load) {
    const std::vector<double> violations = layer_max_violation(expert_load);
    return violations.empty() ? 0 : std::max(0.0, *std::ranges::max_element(violations));
}

double expert_load_entropy(const std::vector<std::vector<int64_t>>& expert_load) {
    double sum = 0;
    int64_t layers = 0;
    for (const auto& load : expert_load) {
        const auto total = std::accumulate(load.begin(), load.end(), int64_t(0));
        if (total == 0 || load.size() < 2) continue;
        double entropy = 0;
        for (const int64_t count : load) {
            const double share = double(count) / double(total);
            if (share > 0) entropy -= share * std::log(share);
        }
        sum += entropy / std::log(double(load.size()));
        ++layers;
    }
    return layers == 0 ? 1 : sum / double(layers);
}

}  // namespace hadal::train
