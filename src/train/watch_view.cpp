#include "train/watch_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "chart/dot_chart.h"
#include "core/error.h"
#include "core/progress.h"

namespace hadal::train {

namespace {

std::string figure(const char* format, double value) {
    char text[48];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

/// Mean rate of the last steps: a watcher wants to know how fast it is going now.
double recent_rate(const std::vector<Metrics>& history) {
    double tokens = 0, seconds = 0;
    const size_t begin = history.size() > 20 ? history.size() - 20 : 0;
    for (size_t i = begin; i < history.size(); ++i) {
        seconds += history[i].step_seconds;
        tokens += double(history[i].batch * history[i].seq_len);
    }
    return seconds > 0 ? tokens / seconds : 0;
}

std::string state_of(const WatchedRun& run, double rate) {
    if (run.finished) return "finished";
    const Metrics& last = run.history.back();
    if (run.seconds_without_step > std::max(30.0, 10 * last.step_seconds))
        return "no step for " + duration_text(run.seconds_without_step);
    if (run.total_tokens == 0 || rate <= 0) return "running";
    return duration_text(double(run.total_tokens - last.tokens) / rate) + " left";
}

std::vector<std::string> headline(const WatchedRun& run) {
    const Metrics& last = run.history.back();
    const double rate = recent_rate(run.history);
    std::string first =
        concat(run.name, "  step ", last.step, "  ", short_number(double(last.tokens)), " tokens");
    if (run.total_tokens > 0) {
        const double share = 100 * double(last.tokens) / double(run.total_tokens);
        first += concat(" of ", short_number(double(run.total_tokens)), " (",
                        figure("%.1f", std::min(100.0, share)), "%)");
    }
    first += "  " + state_of(run, rate);
    std::string losses = "loss " + figure("%.4f", last.loss);
    if (last.mtp_loss) losses += "  MTP " + figure("%.4f", *last.mtp_loss);
    const auto validated =
        std::find_if(run.history.rbegin(), run.history.rend(),
                     [](const Metrics& m) { return m.validation_loss.has_value(); });
    if (validated != run.history.rend()) {
        losses += "  validation " + figure("%.4f", *validated->validation_loss);
        if (validated->bits_per_byte)
            losses += figure(" (%.4f bits per byte)", *validated->bits_per_byte);
        losses += concat(" at step ", validated->step);
    }
    losses += figure("  grad norm %.3g", last.grad_norm) + figure("  lr %.3g", last.learning_rate);
    std::string speed =
        short_number(rate) + " tokens/s" + figure("  step %.3g s", last.step_seconds);
    if (last.step_seconds > 0)
        speed += figure(" (data %.1f%%)", 100 * last.data_seconds / last.step_seconds);
    speed += figure("  peak %.3g GiB", double(last.bytes_peak) / 0x1p30);
    speed += concat("  skipped ", last.skipped, "  spikes ", last.spikes);
    if (last.failed_snapshots > 0) speed += concat("  failed snapshots ", last.failed_snapshots);
    return {first, losses, speed};
}

std::vector<std::string> curves(const WatchedRun& run, const WatchScreen& screen, int rows) {
    chart::DotSeries loss{.name = "loss", .color = 34, .points = {}};
    chart::DotSeries mtp{.name = "MTP", .color = 33, .points = {}};
    chart::DotSeries validation{
        .name = "validation", .color = 31, .points = {}, .connected = false};
    for (const Metrics& m : run.history) {
        const auto x = double(m.tokens);
        if (m.step > 0) loss.points.emplace_back(x, m.loss);
        if (m.step > 0 && m.mtp_loss) mtp.points.emplace_back(x, *m.mtp_loss);
        if (m.validation_loss) validation.points.emplace_back(x, *m.validation_loss);
    }
    chart::DotChart chart{.columns = screen.columns,
                          .rows = rows,
                          .color = screen.color,
                          .x_label = "tokens",
                          .series = {}};
    for (const auto& series : {mtp, loss, validation}) {
        if (!series.points.empty()) chart.series.push_back(series);
    }
    return chart::dot_chart_lines(chart);
}

/// A layer's load on its experts / mean, 2 being a full bar.
std::string load_bars(const WatchedRun& run, size_t layer, int columns) {
    if (!run.expert_load || layer >= run.expert_load->load.size()) return "";
    const auto& load = run.expert_load->load[layer];
    const double total = double(std::accumulate(load.begin(), load.end(), int64_t(0)));
    std::vector<double> shares;
    for (const int64_t count : load)
        shares.push_back(total == 0 ? 0 : double(count) * double(load.size()) / total);
    return chart::bar_text(shares, columns, 2);
}

/// The worst layers, in their order, as many as there is room for.
std::vector<std::string> expert_rows(const WatchedRun& run, const WatchScreen& screen, int rows) {
    constexpr int kTime = 24;
    const std::vector<double>& now = run.history.back().layer_max_violation;
    if (now.empty() || rows < 2) return {};
    const int room = std::max(0, screen.columns - 24 - kTime);
    std::vector<size_t> order(now.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::ranges::stable_sort(order, std::greater(), [&](size_t layer) { return now[layer]; });
    order.resize(std::min(order.size(), size_t(rows - 1)));
    std::ranges::sort(order);
    std::string title = figure("experts: max violation %.2f", run.history.back().max_violation) +
                        figure(", load entropy %.4f", run.history.back().expert_load_entropy) +
                        concat(", dead ", run.history.back().dead_experts, ", starved ",
                               run.history.back().starved_experts);
    if (run.expert_load)
        title += concat("; at the right the experts' loads, step ", run.expert_load->step);
    std::vector<std::string> lines = {title};
    for (const size_t layer : order) {
        std::vector<double> over_time;
        for (const Metrics& m : run.history) {
            if (layer < m.layer_max_violation.size())
                over_time.push_back(m.layer_max_violation[layer]);
        }
        char begin[32];
        std::snprintf(begin, sizeof begin, "MoE %-3zu %6.2f  ", layer + 1, now[layer]);
        const std::string bars = chart::bar_text(over_time, kTime, 2);
        lines.push_back(begin + bars + std::string(size_t(kTime - chart::shown_width(bars)), ' ') +
                        "  " + load_bars(run, layer, room));
    }
    return lines;
}

/// Cuts a line without colours at `columns` characters.
std::string cut(const std::string& line, int columns) {
    if (chart::shown_width(line) <= columns || line.find('\x1b') != std::string::npos) return line;
    std::string text;
    for (const char c : line) {
        text += c;
        if (chart::shown_width(text) > columns) {
            text.pop_back();
            break;
        }
    }
    return text;
}

}  // namespace

std::string watch_text(const WatchedRun& run, const WatchScreen& screen) {
    if (run.history.empty()) return cut(run.name + ": no step yet", screen.columns) + "\n";
    std::vector<std::string> lines = headline(run);
    const auto num_layers = int(run.history.back().layer_max_violation.size());
    const int left = screen.rows - int(lines.size());
    // Curves get at least half of what is left; experts no more than they need.
    const int for_experts = num_layers == 0 ? 0 : std::min(num_layers + 1, left / 2);
    for (const std::string& line : curves(run, screen, left - for_experts)) lines.push_back(line);
    for (const std::string& line : expert_rows(run, screen, for_experts)) lines.push_back(line);
    std::string text;
    for (int i = 0; i < std::min(int(lines.size()), screen.rows); ++i)
        text += cut(lines[size_t(i)], screen.columns) + "\n";
    return text;
}

}  // namespace hadal::train
