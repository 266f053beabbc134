#include "plan/sweep.h"

#include <algorithm>
#include <charconv>

#include "chart/chart.h"
#include "core/error.h"

namespace hadal::plan {

namespace {

constexpr size_t kMaxValues = 64;

const Answer* first_answer(const Sweep& sweep) {
    for (const SweepPoint& point : sweep.points) {
        if (point.error.empty()) return &point.answer;
    }
    return nullptr;
}

/// Places on the x axis: the values where all are numbers, else 0, 1, 2 …
bool parse_numbers(const Sweep& sweep, std::vector<double>& numbers) {
    for (const SweepPoint& point : sweep.points) {
        const std::string& text = point.value;
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size()) return false;
        numbers.push_back(value);
    }
    return true;
}

}  // namespace

SweepRequest parse_sweep(std::string_view text) {
    const auto refuse = [&] {
        throw Error(
            Error::Kind::usage,
            concat("--sweep wants KEY=VALUE,VALUE,… such as layout.pp=8,16,32, got '", text, "'"));
    };
    const size_t equal = text.find('=');
    if (equal == std::string_view::npos || equal == 0) refuse();
    SweepRequest request{.key = std::string(text.substr(0, equal)), .values = {}};
    for (size_t begin = equal + 1; begin <= text.size();) {
        const size_t comma = std::min(text.find(',', begin), text.size());
        request.values.emplace_back(text.substr(begin, comma - begin));
        if (request.values.back().empty()) refuse();
        begin = comma + 1;
    }
    if (request.values.size() > kMaxValues) {
        throw Error(Error::Kind::usage, concat("--sweep takes at most ", kMaxValues,
                                               " values, got ", request.values.size()));
    }
    return request;
}

Sweep sweep(const std::string& key, const std::vector<std::string>& values,
            const std::function<Answer(const std::string& value)>& ask) {
    Sweep result{.key = key, .points = {}};
    for (const std::string& value : values) {
        SweepPoint point{.value = value, .answer = {}, .error = {}};
        try {
            point.answer = ask(value);
        } catch (const Error& error) {
            if (error.exit_status() != 2) throw;
            point.error = error.what();
        }
        result.points.push_back(std::move(point));
    }
    if (first_answer(result) == nullptr)
        throw Error(Error::Kind::bad_input, result.points.front().error);
    return result;
}

Table sweep_table(const Sweep& sweep) {
    const Answer& first = *first_answer(sweep);
    Table table{.key = "sweep", .title = "", .columns = {{"value", sweep.key, ""}}, .rows = {}};
    for (const std::string& key : first.headline) {
        const Figure& figure = *first.find(key);
        table.columns.push_back({key, figure.label, figure.unit});
    }
    table.columns.push_back({"error", "", ""});
    for (const SweepPoint& point : sweep.points) {
        std::vector<Cell> row = {point.value};
        for (const std::string& key : first.headline) {
            const Figure* figure = point.error.empty() ? point.answer.find(key) : nullptr;
            row.emplace_back(figure == nullptr ? kMissing : figure->value);
        }
        row.emplace_back(point.error);
        table.rows.push_back(std::move(row));
    }
    return table;
}

namespace {

/// What the axis of a chart counts in.
struct AxisUnit {
    double factor = 1;
    std::string_view text;
};
AxisUnit axis_unit(std::string_view unit) {
    if (unit == "share") return {0.01, "%"};
    if (unit == "B") return {1e9, "GB"};
    return {1, unit.empty() ? "count" : unit};
}

/// The x axis that all charts of a sweep share.
chart::LineChart empty_chart(const Sweep& sweep, std::vector<double>& places) {
    chart::LineChart chart;
    chart.x_label = sweep.key;
    chart.legend = false;
    if (parse_numbers(sweep, places)) {
        const auto [low, high] = std::ranges::minmax(places);
        chart.log_x = low > 0 && high >= 8 * low;
        if (places.size() <= 12) chart.x_ticks = places;
        return chart;
    }
    places.clear();
    for (const SweepPoint& point : sweep.points) {
        places.push_back(double(places.size()));
        chart.x_names.push_back(point.value);
    }
    return chart;
}

}  // namespace

std::string sweep_svg(const Sweep& sweep, const std::string& title) {
    std::vector<double> places;
    const chart::LineChart empty = empty_chart(sweep, places);
    const Answer& first = *first_answer(sweep);
    std::vector<chart::LineChart> charts;
    for (const std::string& key : first.headline) {
        const Figure& base = *first.find(key);
        const AxisUnit unit = axis_unit(base.unit);
        chart::LineChart chart = empty;
        chart.title = base.label;
        chart.y_label = unit.text;
        chart::Series series{.name = base.label, .color = "#1f77b4", .points = {}, .markers = true};
        for (size_t i = 0; i < sweep.points.size(); ++i) {
            const SweepPoint& point = sweep.points[i];
            const Figure* figure = point.error.empty() ? point.answer.find(key) : nullptr;
            if (figure != nullptr)
                series.points.emplace_back(places[i], figure->value / unit.factor);
        }
        chart.series = {series};
        charts.push_back(std::move(chart));
    }
    return chart::grid_svg(title, charts, 2);
}

}  // namespace hadal::plan
