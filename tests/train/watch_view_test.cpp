#include "train/watch_view.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "chart/dot_chart.h"

using namespace hadal;
using namespace hadal::train;

namespace {

WatchedRun sample_run(int64_t steps, int layers = 2) {
    WatchedRun run;
    run.name = "runs/x";
    run.total_tokens = 100 * 1000;
    for (int64_t step = 1; step <= steps; ++step) {
        Metrics m{.step = step,
                  .tokens = step * 1000,
                  .loss = 1 + 4.0 / double(step),
                  .mtp_loss = 2 + 4.0 / double(step),
                  .batch = 10,
                  .seq_len = 100,
                  .step_seconds = 0.5,
                  .data_seconds = 0.05,
                  .max_violation = 1.5,
                  .layer_max_violation = std::vector<double>(size_t(layers), 0.5),
                  .bytes_peak = int64_t(3) << 29};
        if (layers > 0) m.layer_max_violation.back() = 1.5;
        if (step % 10 == 0) m.validation_loss = 1.1 + 4.0 / double(step);
        run.history.push_back(m);
    }
    return run;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

}  // namespace

TEST_CASE("watch: the figures of the last step, the rate and the time left") {
    const auto lines = lines_of(watch_text(sample_run(40), {.columns = 100, .rows = 30}));
    CHECK(lines[0] == "runs/x  step 40  40.0k tokens of 100k (40.0%)  30 s left");
    CHECK(lines[1].starts_with("loss 1.1000  MTP 2.1000  validation 1.2000 at step 40"));
    CHECK(lines[2].starts_with("2.00k tokens/s  step 0.5 s (data 10.0%)  peak 1.5 GiB"));
    CHECK(lines[2].ends_with("skipped 0  spikes 0"));
}

TEST_CASE("watch: finished, stalled, or of unknown length") {
    WatchedRun run = sample_run(10);
    const auto first = [&] { return lines_of(watch_text(run, {}))[0]; };
    run.seconds_without_step = 187;
    CHECK(first().ends_with("no step for 3:07"));
    run.total_tokens = 0;
    run.seconds_without_step = 1;
    CHECK(first() == "runs/x  step 10  10.0k tokens  running");
    run.finished = true;
    CHECK(first().ends_with("finished"));
    run.history.clear();
    CHECK(watch_text(run, {}) == "runs/x: no step yet\n");
}

TEST_CASE("watch: curves of loss, MTP and validation, and a row for every MoE layer") {
    WatchedRun run = sample_run(40);
    run.expert_load = ExpertLoad{.step = 40, .load = {{10, 10, 10, 10}, {40, 0, 0, 0}}};
    const std::string text = watch_text(run, {.columns = 120, .rows = 24});
    for (const std::string part :
         {"━━ MTP", "━━ loss", " • validation", "tokens", "MoE 1     0.50", "MoE 2     1.50",
          "max violation 1.50", "experts' loads, step 40"}) {
        CAPTURE(part);
        CHECK(text.find(part) != std::string::npos);
    }
    const auto lines = lines_of(text);
    CHECK(lines[lines.size() - 2].ends_with("  ▅▅▅▅"));  // an even share is half a bar
    CHECK(lines.back().ends_with("  █▁▁▁"));
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(watch_text(run, {.columns = 120, .rows = 24, .color = true}).find("\x1b[34m") !=
          std::string::npos);
}

TEST_CASE("watch: nothing is wider or longer than the screen, whatever its size") {
    WatchedRun run = sample_run(50, 60);
    run.history.back().loss = NAN;
    run.history[10].loss = INFINITY;
    run.expert_load = ExpertLoad{.step = 3, .load = {std::vector<int64_t>(256, 3)}};
    for (const int columns : {1, 10, 24, 40, 80, 200}) {
        for (const int rows : {1, 3, 5, 10, 24, 100}) {
            CAPTURE(columns);
            CAPTURE(rows);
            const auto lines = lines_of(watch_text(run, {.columns = columns, .rows = rows}));
            CHECK(int(lines.size()) <= rows);
            for (const std::string& line : lines) CHECK(chart::shown_width(line) <= columns);
        }
    }
}

TEST_CASE("watch: where there is no room for all layers the worst are shown, in order") {
    WatchedRun run = sample_run(5, 50);
    for (size_t layer = 0; layer < 50; ++layer)
        run.history.back().layer_max_violation[layer] = layer == 7 || layer == 30 ? 9 : 0.1;
    const auto lines = lines_of(watch_text(run, {.columns = 100, .rows = 12}));
    int64_t found = 0;
    for (const std::string& line : lines)
        found += line.starts_with("MoE 8 ") || line.starts_with("MoE 31 ");
    CHECK(found == 2);
}
