// Pictures as SVG text: a line chart and a heat map. Draws what it is given; which curves is the
// caller's business.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace hadal::chart {

struct Series {
    std::string name;
    std::string color;  // of SVG
    std::vector<std::pair<double, double>> points;
    bool faint = false;  // thin, and not in the legend
    bool markers = false;
};

struct LineChart {
    std::string title;
    std::string x_label;
    std::string y_label;
    bool log_x = false;
    bool log_y = false;
    std::vector<std::string> x_names = {};  // ticks at 0, 1, 2 … instead of figures
    std::vector<double> x_ticks = {};       // instead of round values
    bool legend = true;
    std::vector<Series> series;
};

/// Points that are not finite, or not positive on a logarithmic axis, are left out. Long series are
/// thinned.
std::string line_chart_svg(const LineChart& chart);

/// Line charts side by side, in rows of `columns`.
std::string grid_svg(const std::string& title, const std::vector<LineChart>& charts,
                     size_t columns);

struct HeatMap {
    std::string title;
    std::string x_label;
    std::string y_label;
    std::vector<std::string> row_names;
    std::vector<std::vector<double>> values;  // [rows][columns], each in [0, maximum]
    double maximum = 2;
};

/// Colours run from white over blue (the middle of the range) to dark red (its end).
std::string heat_map_svg(const HeatMap& map);

/// Round values that divide [low, high] into about `count` parts: 1, 2 or 5 times a power of ten
/// apart.
std::vector<double> axis_ticks(double low, double high, int count);

}  // namespace hadal::chart
