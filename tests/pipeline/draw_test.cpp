#include "pipeline/draw.h"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::pipeline {

namespace {

struct Drawn {
    Drawn(std::string_view name, int ranks, int micro_batches, Timing times = {})
        : schedule(make_schedule(name, {.ranks = ranks, .micro_batches = micro_batches})),
          timing(std::move(times)),
          timeline(simulate(schedule, timing)) {}

    Schedule schedule;
    Timing timing;
    Timeline timeline;
};

size_t count(const std::string& text, const std::string& part) {
    size_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++found;
    }
    return found;
}

size_t computations(const Schedule& schedule, bool pairs) {
    size_t found = 0;
    for (const auto& actions : schedule.actions) {
        for (const Action& action : actions) {
            if (action.is_message()) continue;
            if (!pairs || action.kind == ActionKind::forward_backward) ++found;
        }
    }
    return found;
}

}  // namespace

TEST_CASE("draw: the text of two ranks, letter by letter") {
    const Drawn drawn("1f1b", 2, 2);
    CHECK(draw_text(drawn.schedule, drawn.timeline, Letters::ascii) ==
          "rank 0  F0.F1.      B0....   B1....\n"
          "rank 1     F0.B0....F1.B1....\n"
          "F forward  B backward  I backward for input  W backward for weights\n");
    CHECK(
        draw_text(drawn.schedule, drawn.timeline, Letters::unicode).starts_with("rank 0  ▷0·▷1·"));
}

TEST_CASE("draw: a pair shows both halves in the text") {
    const Drawn drawn("dualpipe", 4, 8);
    const std::string text = draw_text(drawn.schedule, drawn.timeline, Letters::ascii);
    CHECK(count(text, "F3B5") == 4);  // on every rank
    CHECK(count(text, "I") > 1);
    CHECK(count(text, "W") > 1);
}

TEST_CASE("draw: a long schedule keeps its lines short") {
    const Drawn drawn("1f1b", 2, 1000);
    std::istringstream lines(draw_text(drawn.schedule, drawn.timeline, Letters::ascii));
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 410);
}

TEST_CASE("draw: the SVG has a cell for each half of each computation, and frames the pairs") {
    const Drawn drawn("dualpipe", 4, 8);
    const std::string svg = draw_svg(drawn.schedule, drawn.timing, drawn.timeline);
    const size_t pairs = computations(drawn.schedule, true);
    REQUIRE(pairs > 0);
    CHECK(count(svg, "class=\"p\"") == pairs + 1);  // one in the legend
    size_t cells = 0;
    for (const char* style : {"f0", "f1", "b0", "b1", "g0", "g1", "w0", "w1"}) {
        cells += count(svg, std::string("class=\"") + style + "\"");
    }
    CHECK(cells == computations(drawn.schedule, false) + pairs + 6);  // six in the legend
    CHECK(count(svg, "makespan 26, idle 2<") == 1);
}

TEST_CASE("draw: the pictures of docs/pipeline.md are those that the code draws") {
    const std::tuple<const char*, int, int> pictures[] = {
        {"1f1b", 8, 20}, {"interleaved", 4, 12}, {"zb-h1", 8, 20},
        {"zb-v", 4, 12}, {"dualpipe", 8, 20},    {"dualpipev", 4, 12}};
    for (const auto& [name, ranks, micro_batches] : pictures) {
        CAPTURE(name);
        const Shape shape = {.ranks = ranks, .micro_batches = micro_batches};
        const double share = double(ranks) / find_schedule(name).stages(shape);
        const Drawn drawn(name, ranks, micro_batches,
                          {.stages = {{.forward = share,
                                       .backward = 2 * share,
                                       .weight = share,
                                       .overlapped = 3 * share}}});
        const std::string path = concat(HADAL_TEST_DATA "/../docs/images/pipeline_", name, ".svg");
        CHECK(draw_svg(drawn.schedule, drawn.timing, drawn.timeline) == read_file(path));
    }
}

TEST_CASE("draw: times of zero give pictures without cells of no number") {
    const Timing nothing = {
        .stages = {{.forward = 0, .backward = 0, .weight = 0, .overlapped = 0}}};
    const Drawn drawn("dualpipe", 2, 4, nothing);
    CHECK(count(draw_svg(drawn.schedule, drawn.timing, drawn.timeline), "nan") == 0);
    CHECK(count(draw_text(drawn.schedule, drawn.timeline, Letters::ascii), "rank") == 2);
}

TEST_CASE("draw: the trace has every computation on its rank and two ends of every arrow") {
    const Drawn drawn("zb-v", 3, 6, {.message = 0.25});
    const auto trace = parse_json(draw_trace(drawn.schedule, drawn.timeline), "trace");
    size_t slices = 0;
    double end = 0;
    std::map<int64_t, int> ends;
    for (const auto& event : trace["traceEvents"]) {
        if (event["ph"] == "X") {
            ++slices;
            end = std::max(end, double(event["ts"]) + double(event["dur"]));
            CHECK(int(event["tid"]) < 3);
        } else if (event["ph"] == "s") {
            ++ends[event["id"]];
        } else if (event["ph"] == "f") {
            ends[event["id"]] += 16;
        }
    }
    CHECK(slices == computations(drawn.schedule, false));
    CHECK(end == doctest::Approx(1000 * drawn.timeline.makespan));
    CHECK(ends.size() == 6 * 2 * 4);  // down and up, forward and back, two borders each
    for (const auto& [id, seen] : ends) CHECK(seen == 17);
}

}  // namespace hadal::pipeline
