#include "train/run_log.h"

#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>

#include "chart/chart.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::train {

namespace {

double wall_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

std::vector<std::pair<std::string, double>> scalars_of(const Metrics& m) {
    std::vector<std::pair<std::string, double>> scalars;
    if (m.step > 0) {
        scalars = {{"train/loss", m.loss},
                   {"train/balance_loss", m.balance_loss},
                   {"train/grad_norm", m.grad_norm},
                   {"train/lr", m.learning_rate},
                   {"train/batch", double(m.batch)},
                   {"data/tokens_seen", double(m.tokens)},
                   {"moe/max_vio", m.max_violation},
                   {"moe/load_entropy", m.expert_load_entropy},
                   {"moe/dead_experts", double(m.dead_experts)},
                   {"moe/starved_experts", double(m.starved_experts)},
                   {"perf/tokens_per_s", m.tokens_per_second},
                   {"perf/step_s", m.step_seconds},
                   {"perf/data_s", m.data_seconds},
                   {"mem/peak_gib", double(m.bytes_peak) / 0x1p30},
                   {"fault/skipped_steps", double(m.skipped)},
                   {"fault/spikes", double(m.spikes)},
                   {"fault/failed_snapshots", double(m.failed_snapshots)}};
    }
    for (size_t layer = 0; layer < m.layer_max_violation.size(); ++layer) {
        scalars.emplace_back(concat("moe/layer_", layer + 1, "/max_vio"),
                             m.layer_max_violation[layer]);
    }
    if (m.mtp_loss) scalars.emplace_back("train/mtp_loss", *m.mtp_loss);
    if (m.validation_loss) scalars.emplace_back("validation/loss", *m.validation_loss);
    if (m.validation_mtp_loss) scalars.emplace_back("validation/mtp_loss", *m.validation_mtp_loss);
    if (m.ema_validation_loss) scalars.emplace_back("validation/ema_loss", *m.ema_validation_loss);
    if (m.bits_per_byte) scalars.emplace_back("validation/bits_per_byte", *m.bits_per_byte);
    if (m.validation_max_violation)
        scalars.emplace_back("moe/validation_max_vio", *m.validation_max_violation);
    return scalars;
}

/// Exponential mean whose memory is about a fiftieth of the series; its start is corrected as
/// Adam's.
std::vector<std::pair<double, double>> smoothed(
    const std::vector<std::pair<double, double>>& points) {
    const double keep = 1 - 1 / std::max(1.0, double(points.size()) / 50);
    std::vector<std::pair<double, double>> result;
    double mean = 0, weight = 0;
    for (const auto& [x, y] : points) {
        if (!std::isfinite(y)) continue;
        mean = keep * mean + (1 - keep) * y;
        weight = keep * weight + (1 - keep);
        result.emplace_back(x, mean / weight);
    }
    return result;
}

}  // namespace

RunLog::RunLog(std::filesystem::path run, int64_t step, bool tensorboard, Warn warn)
    : run_(std::move(run)), warn_(std::move(warn)) {
    std::filesystem::create_directories(run_);
    truncate(step);
    open_metrics();
    if (tensorboard)
        tensorboard_ = std::make_unique<TensorboardWriter>(run_, wall_time(), step + 1);
}

void RunLog::truncate(int64_t step) {
    const auto path = run_ / "metrics.jsonl";
    if (!std::filesystem::exists(path)) return;
    const std::string text = read_file(path);
    std::string kept;
    size_t begin = 0;
    while (step > 0 && begin < text.size()) {
        const size_t end = text.find('\n', begin);
        if (end == std::string::npos) break;
        const auto metrics = parse_metrics_line(std::string_view(text).substr(begin, end - begin));
        if (!metrics || metrics->step > step) break;
        history_.push_back(*metrics);
        kept.append(text, begin, end + 1 - begin);
        begin = end + 1;
    }
    write_file_atomically(path, kept);
}

void RunLog::open_metrics() {
    metrics_.close();
    metrics_.clear();
    metrics_.open(run_ / "metrics.jsonl", std::ios::binary | std::ios::app);
}

void RunLog::repair_metrics() {
    std::string lines;
    for (const Metrics& metrics : history_) lines += metrics_line(metrics) + "\n";
    write_file_atomically(run_ / "metrics.jsonl", lines);
    open_metrics();
    torn_ = warned_ = false;
}

template <class Write>
bool RunLog::attempt(const Write& write) {
    try {
        write();
        return true;
    } catch (const Error& error) {
        if (!warned_) warn_(concat("training goes on without this: ", error.what()));
        warned_ = true;
        return false;
    }
}

void RunLog::add(const Metrics& metrics, const std::vector<std::vector<int64_t>>& expert_load) {
    history_.push_back(metrics);
    attempt([&] {
        if (!torn_) metrics_ << metrics_line(metrics) << '\n' << std::flush;
        torn_ = torn_ || !metrics_;
        if (torn_) {
            throw Error(Error::Kind::io, concat("cannot write ", (run_ / "metrics.jsonl").string(),
                                                " (is the disk full?)"));
        }
    });
    if (tensorboard_ &&
        !attempt([&] { tensorboard_->add(wall_time(), metrics.step, scalars_of(metrics)); })) {
        tensorboard_.reset();  // its file may end in half a record: readers stop there
    }
    if (expert_load_.size() != expert_load.size()) {
        if (!expert_load.empty()) expert_load_ = expert_load;
        return;
    }
    for (size_t layer = 0; layer < expert_load.size(); ++layer) {
        for (size_t e = 0; e < expert_load[layer].size(); ++e) {
            expert_load_[layer][e] += expert_load[layer][e];
        }
    }
}

void RunLog::note(std::string_view text) {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char time[32];
    std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &utc);
    std::ofstream(run_ / "log.txt", std::ios::binary | std::ios::app)
        << time << ' ' << text << '\n';
}

void RunLog::draw(bool log_axis) {
    attempt([&] {
        if (torn_) repair_metrics();
        write_file_atomically(run_ / "loss.svg", loss_chart_svg(history_, log_axis));
        if (expert_load_.empty()) return;
        write_file_atomically(run_ / "expert_balance.svg", balance_chart_svg(history_));
        draw_expert_load();
        expert_load_.clear();
    });
}

void RunLog::draw_expert_load() {
    const int64_t step = history_.empty() ? 0 : history_.back().step;
    chart::HeatMap map{.title = concat("Expert load up to step ", step),
                       .x_label = "expert",
                       .y_label = "tokens / even share",
                       .row_names = {},
                       .values = {}};
    for (size_t layer = 0; layer < expert_load_.size(); ++layer) {
        const auto& load = expert_load_[layer];
        const auto total = std::accumulate(load.begin(), load.end(), int64_t(0));
        auto& row = map.values.emplace_back();
        for (const int64_t count : load) {
            row.push_back(total == 0 ? 0 : double(count) * double(load.size()) / double(total));
        }
        map.row_names.push_back(concat("MoE ", layer + 1));
    }
    write_file_atomically(run_ / "expert_load.svg", chart::heat_map_svg(map));
    const nlohmann::ordered_json json = {{"step", step}, {"load", expert_load_}};
    write_file_atomically(run_ / "expert_load.json", json.dump() + "\n");
}

std::optional<ExpertLoad> read_expert_load(const std::filesystem::path& run) {
    const auto path = run / "expert_load.json";
    if (!std::filesystem::exists(path)) return std::nullopt;
    try {
        const auto json = parse_json(read_file(path), path.string());
        return ExpertLoad{.step = json.at("step").get<int64_t>(),
                          .load = json.at("load").get<std::vector<std::vector<int64_t>>>()};
    } catch (const nlohmann::json::exception&) {
        return std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::string balance_chart_svg(const std::vector<Metrics>& history) {
    constexpr size_t kColumns = 120;
    std::vector<const Metrics*> steps;
    size_t layers = 0;
    for (const Metrics& m : history) {
        if (m.layer_max_violation.empty()) continue;
        steps.push_back(&m);
        layers = std::max(layers, m.layer_max_violation.size());
    }
    chart::HeatMap map{.title = "Max violation (largest expert load / mean - 1) of every MoE layer",
                       .x_label = steps.empty() ? "steps"
                                                : concat("steps ", steps.front()->step, " to ",
                                                         steps.back()->step),
                       .y_label = "max violation",
                       .row_names = {},
                       .values = {}};
    const size_t columns = std::min(kColumns, steps.size());
    for (size_t layer = 0; layer < layers; ++layer) {
        auto& row = map.values.emplace_back();
        for (size_t c = 0; c < columns; ++c) {  // the mean of the column's steps
            const size_t begin = c * steps.size() / columns;
            const size_t end = (c + 1) * steps.size() / columns;
            double sum = 0;
            for (size_t i = begin; i < end; ++i) {
                const auto& values = steps[i]->layer_max_violation;
                sum += layer < values.size() ? values[layer] : 0;
            }
            row.push_back(sum / double(end - begin));
        }
        map.row_names.push_back(concat("MoE ", layer + 1));
    }
    return chart::heat_map_svg(map);
}

std::string loss_chart_svg(const std::vector<Metrics>& history, bool log_axis) {
    chart::Series raw{.name = "train", .color = "#1f77b4", .points = {}, .faint = true};
    chart::Series mtp_raw{.name = "MTP", .color = "#ff7f0e", .points = {}, .faint = true};
    chart::Series validation{
        .name = "validation", .color = "#d62728", .points = {}, .markers = true};
    chart::Series mtp_validation{
        .name = "validation MTP", .color = "#9467bd", .points = {}, .markers = true};
    for (const Metrics& m : history) {
        const auto x = double(m.tokens);
        if (m.step > 0) raw.points.emplace_back(x, m.loss);
        if (m.step > 0 && m.mtp_loss) mtp_raw.points.emplace_back(x, *m.mtp_loss);
        if (m.validation_loss) validation.points.emplace_back(x, *m.validation_loss);
        if (m.validation_mtp_loss) mtp_validation.points.emplace_back(x, *m.validation_mtp_loss);
    }
    chart::LineChart chart{.title = "Loss",
                           .x_label = "tokens",
                           .y_label = "nats per token",
                           .log_y = log_axis,
                           .series = {}};
    const chart::Series train{
        .name = "train, smoothed", .color = raw.color, .points = smoothed(raw.points)};
    const chart::Series mtp{
        .name = "train MTP, smoothed", .color = mtp_raw.color, .points = smoothed(mtp_raw.points)};
    for (const chart::Series& series : {mtp_raw, raw, mtp, train, mtp_validation, validation}) {
        if (!series.points.empty()) chart.series.push_back(series);
    }
    return chart::line_chart_svg(chart);
}

}  // namespace hadal::train
