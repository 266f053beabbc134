#include "chart/dot_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "core/progress.h"

namespace hadal::chart {

namespace {

struct Range {
    double low = INFINITY;
    double high = -INFINITY;

    void include(double value) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    bool empty() const {
        return !(low <= high);
    }
    /// Never of no width: a single value lies in the middle.
    void widen() {
        if (high > low) return;
        const double room = low == 0 ? 1 : 0.05 * std::abs(low);
        low -= room;
        high += room;
    }
    double share(double value) const {
        return (value - low) / (high - low);
    }
};

bool is_finite(const std::pair<double, double>& point) {
    return std::isfinite(point.first) && std::isfinite(point.second);
}

/// U+0000 … U+FFFF as UTF-8 of three bytes.
std::string utf8(uint32_t code) {
    return {char(0xE0 | (code >> 12)), char(0x80 | ((code >> 6) & 0x3F)),
            char(0x80 | (code & 0x3F))};
}

std::string colored(const std::string& text, int color, bool wanted) {
    if (!wanted || color == 0) return text;
    return "\x1b[" + std::to_string(color) + "m" + text + "\x1b[0m";
}

/// Dots, and for each character the colour drawn last.
class Canvas {
  public:
    Canvas(int columns, int rows)
        : columns_(columns),
          rows_(rows),
          dots_(size_t(columns) * size_t(rows)),
          colors_(dots_.size()) {}

    int width() const {
        return 2 * columns_;
    }
    int height() const {
        return 4 * rows_;
    }
    /// y counts from the bottom.
    void set(int x, int y, int color) {
        if (x < 0 || y < 0 || x >= width() || y >= height()) return;
        // The bits of U+2800's dots, by column and row from the top.
        constexpr uint8_t kDots[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
        const int from_top = height() - 1 - y;
        const size_t cell = size_t(from_top / 4) * size_t(columns_) + size_t(x / 2);
        dots_[cell] = uint8_t(dots_[cell] | kDots[x % 2][from_top % 4]);
        colors_[cell] = color;
    }
    std::string row(int index, bool color) const {
        std::string text;
        for (int x = 0; x < columns_; ++x) {
            const size_t cell = size_t(index) * size_t(columns_) + size_t(x);
            text +=
                dots_[cell] == 0 ? " " : colored(utf8(0x2800u + dots_[cell]), colors_[cell], color);
        }
        return text;
    }

  private:
    int columns_;
    int rows_;
    std::vector<uint8_t> dots_;
    std::vector<int> colors_;
};

/// Per dot column the mean of its points, joined by vertical runs of dots.
void draw(const DotSeries& series, const Range& xs, const Range& ys, Canvas& canvas) {
    std::vector<double> sums(size_t(canvas.width())), counts(sums.size());
    const auto y_of = [&](double value) {
        return int(std::lround(ys.share(value) * (canvas.height() - 1)));
    };
    for (const auto& point : series.points) {
        if (!is_finite(point)) continue;
        const auto x = size_t(std::lround(xs.share(point.first) * (canvas.width() - 1)));
        if (!series.connected) canvas.set(int(x), y_of(point.second), series.color);
        sums[x] += point.second;
        counts[x] += 1;
    }
    if (!series.connected) return;
    int last_x = -1, last_y = 0;
    for (int x = 0; x < canvas.width(); ++x) {
        if (counts[size_t(x)] == 0) continue;
        const int y = y_of(sums[size_t(x)] / counts[size_t(x)]);
        if (last_x < 0) {
            last_x = x;
            last_y = y;
        }
        const int steps = std::max({1, x - last_x, std::abs(y - last_y)});
        for (int i = 0; i <= steps; ++i)
            canvas.set(last_x + (x - last_x) * i / steps, last_y + (y - last_y) * i / steps,
                       series.color);
        last_x = x;
        last_y = y;
    }
}

/// At most 8 characters.
std::string label(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    if (std::abs(value) >= 1e4) return short_number(value);
    if (std::string_view(text).size() > 8) std::snprintf(text, sizeof text, "%.1e", value);
    return text;
}

std::string right_aligned(const std::string& text, int width) {
    return std::string(size_t(std::max(0, width - shown_width(text))), ' ') + text;
}

/// The names that there is room for.
std::string legend(const DotChart& chart, int indent) {
    std::string text(size_t(indent), ' ');
    int width = indent;
    for (const DotSeries& series : chart.series) {
        const std::string mark = series.connected ? "━━ " : " • ";
        width += shown_width(mark) + shown_width(series.name) + 2;
        if (width > chart.columns) break;
        text += colored(mark, series.color, chart.color) + series.name + "  ";
    }
    return text;
}

}  // namespace

int shown_width(const std::string& text) {
    int width = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\x1b') {
            while (i < text.size() && text[i] != 'm') ++i;
        } else if ((uint8_t(text[i]) & 0xC0) != 0x80) {
            ++width;
        }
    }
    return width;
}

std::vector<std::string> dot_chart_lines(const DotChart& chart) {
    constexpr int kAxis = 10;  // columns of "  1.2345 ┤"
    if (chart.columns < 24 || chart.rows < 4) return {};
    Range xs, ys;
    for (const DotSeries& series : chart.series) {
        for (const auto& point : series.points) {
            if (!is_finite(point)) continue;
            xs.include(point.first);
            ys.include(point.second);
        }
    }
    if (xs.empty()) return {};
    xs.widen();
    ys.widen();
    const int rows = chart.rows - 2;
    Canvas canvas(chart.columns - kAxis, rows);
    for (const DotSeries& series : chart.series) draw(series, xs, ys, canvas);
    std::vector<std::string> lines = {legend(chart, kAxis)};
    for (int row = 0; row < rows; ++row) {
        const bool named = row == 0 || row == rows - 1 || row == rows / 2;
        const double value = ys.high - (ys.high - ys.low) * (row + 0.5) / rows;
        const double edge = row == 0 ? ys.high : row == rows - 1 ? ys.low : value;
        lines.push_back(right_aligned(named ? label(edge) : "", kAxis - 2) + (named ? " ┤" : " │") +
                        canvas.row(row, chart.color));
    }
    const std::string left = std::string(kAxis, ' ') + label(xs.low);
    const std::string right = label(xs.high) + " " + chart.x_label;
    const bool both = shown_width(left) + shown_width(right) < chart.columns;
    lines.push_back(both ? left + right_aligned(right, chart.columns - shown_width(left)) : left);
    return lines;
}

std::string bar_text(const std::vector<double>& values, int columns, double maximum) {
    const auto count = int(std::min<size_t>(values.size(), size_t(std::max(0, columns))));
    std::string text;
    for (int c = 0; c < count; ++c) {
        const size_t begin = size_t(c) * values.size() / size_t(count);
        const size_t end = size_t(c + 1) * values.size() / size_t(count);
        double sum = 0;
        for (size_t i = begin; i < end; ++i) sum += values[i];
        const double share = std::clamp(sum / double(end - begin) / maximum, 0.0, 1.0);
        text += utf8(0x2581u + uint32_t(std::lround((std::isnan(share) ? 0 : share) * 7)));
    }
    return text;
}

}  // namespace hadal::chart
