// Line charts for a terminal: every character is a field of 2 × 4 braille dots.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace hadal::chart {

struct DotSeries {
    std::string name;
    int color = 0;  // 31 … 36 of ANSI; 0: the terminal's own
    std::vector<std::pair<double, double>> points;
    bool connected = true;  // else single points
};

struct DotChart {
    int columns = 80;  // with the axis
    int rows = 12;     // with the axis and the legend
    bool color = true;
    std::string x_label;
    std::vector<DotSeries> series;  // later ones are drawn over earlier ones
};

/// `rows` lines, none wider than `columns`. Points that are not finite are left out. Charts smaller
/// than 24 × 4 are empty.
std::vector<std::string> dot_chart_lines(const DotChart& chart);

/// One character from ▁ to █ for each value in [0, maximum]; values are averaged where there are
/// more than `columns`.
std::string bar_text(const std::vector<double>& values, int columns, double maximum);

/// Characters that a terminal shows: code points without colour codes.
int shown_width(const std::string& text);

}  // namespace hadal::chart
