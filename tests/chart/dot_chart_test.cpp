#include "chart/dot_chart.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace hadal::chart;

namespace {

DotChart diagonal(int columns, int rows) {
    DotSeries series{.name = "line", .color = 0, .points = {}};
    for (int i = 0; i <= 100; ++i) series.points.emplace_back(i, i);
    return {
        .columns = columns, .rows = rows, .color = false, .x_label = "steps", .series = {series}};
}

}  // namespace

TEST_CASE("dots: a rising line goes from the lower left to the upper right, dot by dot") {
    // 14 × 4 characters of canvas: 28 × 16 dots.
    const auto lines = dot_chart_lines(diagonal(24, 6));
    REQUIRE(lines.size() == 6);
    CHECK(lines[0] == "          ━━ line  ");
    CHECK(lines[1].starts_with("     100 ┤"));
    CHECK(lines[1].ends_with("⢀⡠⠔⠊"));
    CHECK(lines[4].starts_with("       0 ┤⡠⠔⠊⠁"));
    CHECK(lines[4].ends_with(" "));
    CHECK(lines[5].starts_with("          0 "));
    CHECK(lines[5].ends_with("100 steps"));
    for (const auto& line : lines) CHECK(shown_width(line) <= 24);
}

TEST_CASE("dots: a level is one row of dots, single points stand alone, later series are above") {
    DotChart chart{.columns = 40, .rows = 7, .color = true, .x_label = "", .series = {}};
    chart.series.push_back({.name = "level", .color = 34, .points = {{0, 1}, {10, 1}}});
    chart.series.push_back(
        {.name = "points", .color = 31, .points = {{0, 0}, {10, 2}}, .connected = false});
    const auto lines = dot_chart_lines(chart);
    REQUIRE(lines.size() == 7);
    const auto blue = std::ranges::count_if(
        lines, [](const std::string& line) { return line.find("\x1b[34m") != std::string::npos; });
    CHECK(blue == 2);  // the legend and one row
    CHECK(lines[1].find("\x1b[31m") != std::string::npos);
    CHECK(lines[5].find("\x1b[31m") != std::string::npos);
    for (const auto& line : lines) CHECK(shown_width(line) <= 40);
}

TEST_CASE("dots: what cannot be drawn is left out, down to nothing") {
    CHECK(dot_chart_lines({.columns = 80, .rows = 10, .x_label = "", .series = {}}).empty());
    CHECK(dot_chart_lines(diagonal(10, 10)).empty());
    CHECK(dot_chart_lines(diagonal(80, 3)).empty());
    DotChart chart{.columns = 30, .rows = 5, .x_label = "", .series = {}};
    chart.series.push_back({.name = "bad", .points = {{0, NAN}, {1, INFINITY}, {NAN, 1}}});
    CHECK(dot_chart_lines(chart).empty());
    chart.series.push_back({.name = "one", .points = {{3, 5}}});
    CHECK(dot_chart_lines(chart).size() == 5);
    chart.series.back().points = {{0, 0}};
    CHECK(dot_chart_lines(chart).size() == 5);
}

TEST_CASE("dots: bars from nothing to the maximum, averaged where there are too many") {
    CHECK(bar_text({0, 1, 2, 3, 4, 5, 6, 7}, 8, 7) == "▁▂▃▄▅▆▇█");
    CHECK(bar_text({0, 0, 7, 7}, 2, 7) == "▁█");
    CHECK(bar_text({99, -1, NAN}, 10, 7) == "█▁▁");
    CHECK(bar_text({}, 10, 1) == "");
    CHECK(bar_text({1}, 0, 1) == "");
}

TEST_CASE("dots: width counts characters, not bytes nor colours") {
    CHECK(shown_width("abc") == 3);
    CHECK(shown_width("⣀┤█") == 3);
    CHECK(shown_width("\x1b[31m⣀\x1b[0m x") == 3);
    CHECK(shown_width("\x1b[3") == 0);
}
