#include "chart/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/error.h"

namespace hadal::chart {

namespace {

constexpr double kWidth = 860, kHeight = 480;
constexpr double kLeft = 72, kRight = 20, kTop = 44, kBottom = 56;
constexpr size_t kMaxPoints = 1200;  // more than pixels show nothing more

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    return text;
}

/// "12M", "0.5", "1.2K"
std::string label(double value) {
    const double size = std::abs(value);
    char text[32];
    const char* unit = "";
    for (const auto& [factor, name] : {std::pair{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}}) {
        if (size >= factor) {
            value /= factor;
            unit = name;
            break;
        }
    }
    std::snprintf(text, sizeof text, "%.4g%s", value + 0.0, unit);  // −0 + 0 is 0
    return text;
}

std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text) {
        if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '&')
            result += "&amp;";
        else
            result += c;
    }
    return result;
}

std::string text_at(double x, double y, const std::string& text, const char* anchor, int size = 12,
                    const char* more = "") {
    return concat("<text x=\"", number(x), "\" y=\"", number(y), "\" font-size=\"", size,
                  "\" text-anchor=\"", anchor, "\"", more, ">", escaped(text), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, const char* color) {
    return concat("<line x1=\"", number(x1), "\" y1=\"", number(y1), "\" x2=\"", number(x2),
                  "\" y2=\"", number(y2), "\" stroke=\"", color, "\"/>\n");
}

std::string opening(double width, double height, const std::string& title) {
    return concat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"",
                  height, "\" viewBox=\"0 0 ", width, " ", height,
                  "\" font-family=\"sans-serif\" fill=\"#222\">\n",
                  "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
                  text_at(width / 2, 24, title, "middle", 15, " font-weight=\"bold\""));
}

/// One axis: values to pixels, linear or logarithmic.
struct Axis {
    double low = 0, high = 1, begin = 0, end = 1;
    bool logarithmic = false;

    double position(double value) const {
        const double share = logarithmic ? std::log(value / low) / std::log(high / low)
                                         : (value - low) / (high - low);
        return begin + share * (end - begin);
    }
};

bool drawable(const LineChart& chart, const std::pair<double, double>& point) {
    return std::isfinite(point.first) && std::isfinite(point.second) &&
           (!chart.log_x || point.first > 0) && (!chart.log_y || point.second > 0);
}

/// The range of all drawable points, with a margin; [0, 1] if there are none.
void fit_axes(const LineChart& chart, Axis& x, Axis& y) {
    bool any = false;
    for (const Series& series : chart.series) {
        for (const auto& point : series.points) {
            if (!drawable(chart, point)) continue;
            if (!any) {
                x.low = x.high = point.first;
                y.low = y.high = point.second;
            }
            any = true;
            x.low = std::min(x.low, point.first);
            x.high = std::max(x.high, point.first);
            y.low = std::min(y.low, point.second);
            y.high = std::max(y.high, point.second);
        }
    }
    if (!any)
        y = {.low = 0.1, .high = 1, .begin = y.begin, .end = y.end, .logarithmic = y.logarithmic};
    if (x.logarithmic && x.low <= 0) x.low = x.high = 1;
    if (x.high <= x.low) x.high = x.low + 1;
    if (y.logarithmic) {
        y.low *= 0.95;
        y.high *= 1.05;
    } else {
        const double margin = std::max(1e-3, 0.05 * (y.high - y.low));
        y.high += margin;
        y.low = y.low >= 0 ? std::max(0.0, y.low - margin) : y.low - margin;
    }
}

/// Round values; every name; the powers of two where doubling is the step that a reader thinks in.
std::vector<double> x_ticks(const LineChart& chart, const Axis& x) {
    std::vector<double> ticks;
    if (!chart.x_names.empty()) {
        for (size_t i = 0; i < chart.x_names.size(); ++i) ticks.push_back(double(i));
        return ticks;
    }
    if (!chart.x_ticks.empty()) return chart.x_ticks;
    if (!x.logarithmic) return axis_ticks(x.low, x.high, 8);
    const double last = std::floor(std::log2(x.high) + 1e-9);
    const double stride = std::max(1.0, std::ceil((last - std::log2(x.low)) / 10));
    for (double power = std::ceil(std::log2(x.low) - 1e-9); power <= last; power += stride)
        ticks.push_back(std::exp2(power));
    return ticks;
}

std::string axes_svg(const LineChart& chart, const Axis& x, const Axis& y) {
    std::string svg;
    for (const double tick : axis_ticks(y.low, y.high, 7)) {
        if (y.logarithmic && tick <= 0) continue;
        svg += line(x.begin, y.position(tick), x.end, y.position(tick), "#e4e4e4");
        svg += text_at(x.begin - 8, y.position(tick) + 4, label(tick), "end");
    }
    for (const double tick : x_ticks(chart, x)) {
        const std::string name = chart.x_names.empty() ? label(tick) : chart.x_names[size_t(tick)];
        svg += line(x.position(tick), y.begin, x.position(tick), y.begin + 5, "#222");
        svg += text_at(x.position(tick), y.begin + 20, name, "middle");
    }
    svg += line(x.begin, y.begin, x.end, y.begin, "#222") +
           line(x.begin, y.begin, x.begin, y.end, "#222");
    svg += text_at((x.begin + x.end) / 2, kHeight - 14, chart.x_label, "middle");
    const double middle = (y.begin + y.end) / 2;
    const std::string turn = concat(" transform=\"rotate(-90 18 ", number(middle), ")\"");
    return svg + text_at(18, middle, chart.y_label, "middle", 12, turn.c_str());
}

std::string series_svg(const LineChart& chart, const Series& series, const Axis& x, const Axis& y) {
    std::string path, dots;
    const size_t stride = std::max<size_t>(1, series.points.size() / kMaxPoints);
    for (size_t i = 0; i < series.points.size(); ++i) {
        // The last point always stays: it is the result.
        if (i % stride != 0 && i + 1 != series.points.size()) continue;
        const auto& point = series.points[i];
        if (!drawable(chart, point)) continue;
        const std::string px = number(x.position(point.first)),
                          py = number(y.position(point.second));
        path += concat(path.empty() ? "M" : "L", px, " ", py);
        if (series.markers) {
            dots += concat("<circle cx=\"", px, "\" cy=\"", py, "\" r=\"3\" fill=\"", series.color,
                           "\"/>\n");
        }
    }
    if (path.empty()) return "";
    return concat("<path d=\"", path, "\" fill=\"none\" stroke=\"", series.color,
                  "\" stroke-width=\"", series.faint ? "1\" opacity=\"0.35" : "2", "\"/>\n", dots);
}

std::string legend_svg(const LineChart& chart) {
    const auto lines = std::ranges::count(chart.series, false, &Series::faint);
    // Curves that pass behind it must not make it unreadable.
    std::string svg =
        concat("<rect x=\"", kWidth - kRight - 268, "\" y=\"", kTop, "\" width=\"268\" height=\"",
               18 * lines + 6, "\" fill=\"white\" opacity=\"0.85\"/>\n");
    double y = kTop + 16;
    for (const Series& series : chart.series) {
        if (series.faint) continue;
        std::string name = series.name;
        if (!series.points.empty() && std::isfinite(series.points.back().second)) {
            char last[32];
            std::snprintf(last, sizeof last, " (last %.4g)", series.points.back().second);
            name += last;
        }
        svg += concat("<rect x=\"", kWidth - kRight - 260, "\" y=\"", number(y - 9),
                      "\" width=\"18\" height=\"4\" fill=\"", series.color, "\"/>\n");
        svg += text_at(kWidth - kRight - 236, y - 2, name, "start");
        y += 18;
    }
    return svg;
}

/// White at 0, blue in the middle, dark red at 1.
std::string heat_color(double share) {
    struct Rgb {
        double r, g, b;
    };
    constexpr Rgb kLow{255, 255, 255}, kMiddle{66, 133, 200}, kHigh{150, 0, 20};
    share = std::clamp(share, 0.0, 1.0);
    const Rgb& from = share < 0.5 ? kLow : kMiddle;
    const Rgb& to = share < 0.5 ? kMiddle : kHigh;
    const double t = share < 0.5 ? share * 2 : share * 2 - 1;
    return concat("rgb(", int(from.r + (to.r - from.r) * t), ",", int(from.g + (to.g - from.g) * t),
                  ",", int(from.b + (to.b - from.b) * t), ")");
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int count) {
    const double raw = (high - low) / count;
    const double power = std::pow(10, std::floor(std::log10(raw)));
    const double share = raw / power;
    const double step = (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10) * power;
    std::vector<double> ticks;
    // Multiples of the step rather than sums of it: sums drift.
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i)
        ticks.push_back(i * step);
    return ticks;
}

std::string line_chart_svg(const LineChart& chart) {
    Axis x{.begin = kLeft, .end = kWidth - kRight, .logarithmic = chart.log_x};
    Axis y{.begin = kHeight - kBottom, .end = kTop, .logarithmic = chart.log_y};
    fit_axes(chart, x, y);
    std::string svg = opening(kWidth, kHeight, chart.title) + axes_svg(chart, x, y);
    for (const Series& series : chart.series) svg += series_svg(chart, series, x, y);
    return svg + (chart.legend ? legend_svg(chart) : "") + "</svg>\n";
}

std::string grid_svg(const std::string& title, const std::vector<LineChart>& charts,
                     size_t columns) {
    constexpr double kTitle = 40;
    const double rows = std::ceil(double(charts.size()) / double(columns));
    std::string svg = opening(kWidth * double(columns), kTitle + kHeight * rows, title);
    for (size_t i = 0; i < charts.size(); ++i) {
        const size_t row = i / columns, column = i % columns;
        svg +=
            concat("<g transform=\"translate(", kWidth * double(column), " ",
                   kTitle + kHeight * double(row), ")\">\n", line_chart_svg(charts[i]), "</g>\n");
    }
    return svg + "</svg>\n";
}

std::string heat_map_svg(const HeatMap& map) {
    const size_t rows = map.values.size();
    const size_t columns = rows == 0 ? 0 : map.values.front().size();
    const double cell_width = std::clamp(760.0 / double(std::max<size_t>(1, columns)), 3.0, 28.0);
    constexpr double kCellHeight = 22;
    const double width = kLeft + std::max(360.0, cell_width * double(columns)) + kRight;
    const double height = kTop + kCellHeight * double(rows) + 84;
    std::string svg = opening(width, height, map.title);
    for (size_t row = 0; row < rows; ++row) {
        const double y = kTop + kCellHeight * double(row);
        svg += text_at(kLeft - 8, y + 15, map.row_names[row], "end");
        for (size_t column = 0; column < map.values[row].size(); ++column) {
            svg += concat("<rect x=\"", number(kLeft + cell_width * double(column)), "\" y=\"",
                          number(y), "\" width=\"", number(cell_width), "\" height=\"", kCellHeight,
                          "\" fill=\"", heat_color(map.values[row][column] / map.maximum),
                          "\" stroke=\"#ddd\" stroke-width=\"0.5\"/>\n");
        }
    }
    const double below = kTop + kCellHeight * double(rows);
    svg += text_at(kLeft + cell_width * double(columns) / 2, below + 18, map.x_label, "middle");
    for (int i = 0; i <= 20; ++i) {
        svg += concat("<rect x=\"", number(kLeft + 12.0 * i), "\" y=\"", number(below + 32),
                      "\" width=\"12\" height=\"14\" fill=\"", heat_color(i / 20.0), "\"/>\n");
    }
    svg += text_at(kLeft, below + 62, "0", "start") +
           text_at(kLeft + 126, below + 62, label(map.maximum / 2), "middle") +
           text_at(kLeft + 252, below + 62, concat("≥ ", label(map.maximum)), "end") +
           text_at(kLeft + 268, below + 44, map.y_label, "start");
    return svg + "</svg>\n";
}

}  // namespace hadal::chart
