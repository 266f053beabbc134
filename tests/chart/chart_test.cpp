#include "chart/chart.h"

#include <doctest/doctest.h>
#include <cmath>
#include <string>

namespace hadal::chart {

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

LineChart doubling() {
    return {.title = "A < B",
            .x_label = "GPUs",
            .y_label = "seconds",
            .log_x = true,
            .series = {{.name = "step",
                        .color = "red",
                        .points = {{1024, 4}, {2048, 2}, {4096, 1}, {0, 9}, {8192, NAN}}}}};
}

}  // namespace

TEST_CASE("line chart: doublings stand at equal distances on a logarithmic axis") {
    const std::string svg = line_chart_svg(doubling());
    // 72 … 840 pixels for 1024 … 4096: 2048 in the middle.
    CHECK(contains(svg, "M72.00 "));
    CHECK(contains(svg, "L456.00 "));
    CHECK(contains(svg, "L840.00 "));
    CHECK(contains(svg, ">2.048K<"));
}

TEST_CASE("line chart: points that an axis cannot show are left out, text is escaped") {
    const std::string svg = line_chart_svg(doubling());
    CHECK(contains(svg, "A &lt; B"));
    CHECK(!contains(svg, "nan"));
    CHECK(!contains(svg, "inf"));
}

TEST_CASE("line chart: names take the place of figures below the axis") {
    LineChart chart = doubling();
    chart.log_x = false;
    chart.series[0].points = {{0, 1}, {1, 2}};
    chart.x_names = {"1f1b", "dualpipe"};
    const std::string svg = line_chart_svg(chart);
    CHECK(contains(svg, ">1f1b<"));
    CHECK(contains(svg, ">dualpipe<"));
    CHECK(!contains(svg, ">0.5<"));
}

TEST_CASE("line chart: an empty one is still a picture") {
    CHECK(line_chart_svg({}).ends_with("</svg>\n"));
    LineChart chart = doubling();
    chart.series.clear();
    CHECK(!contains(line_chart_svg(chart), "nan"));
}

TEST_CASE("line chart: ticks where the caller wants them, no legend if it wants none") {
    LineChart chart = doubling();
    chart.x_ticks = {1024, 4096};
    chart.legend = false;
    const std::string svg = line_chart_svg(chart);
    CHECK(contains(svg, ">1.024K<"));
    CHECK(!contains(svg, ">2.048K<"));
    CHECK(!contains(svg, "step (last"));
}

TEST_CASE("grid: every chart once, in rows") {
    const std::string svg = grid_svg("Two", {doubling(), doubling(), doubling()}, 2);
    CHECK(contains(svg, "width=\"1720\""));
    CHECK(contains(svg, "translate(0 40)"));
    CHECK(contains(svg, "translate(860 40)"));
    CHECK(contains(svg, "translate(0 520)"));
}

TEST_CASE("axis ticks: round values that divide the range") {
    CHECK(axis_ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
    const auto ticks = axis_ticks(0.13, 0.38, 5);
    REQUIRE(ticks.size() == 5);
    CHECK(ticks.front() == doctest::Approx(0.15));
    CHECK(ticks.back() == doctest::Approx(0.35));
}

}  // namespace hadal::chart
