// `hadal plan pipeline`: how a pipeline schedule fills its ranks: time, idle time, memory,
// pictures.
#include <algorithm>
#include <numeric>

#include "chart/chart.h"
#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/plan_request.h"
#include "core/error.h"
#include "core/file_map.h"
#include "pipeline/check.h"
#include "pipeline/draw.h"
#include "pipeline/lower_bound.h"

namespace hadal::cli {

namespace {

using pipeline::Schedule;
using pipeline::StageTimes;
using pipeline::Timeline;
using pipeline::Timing;

/// The times of 1/ranks of the layers.
StageTimes times_argument(const Arguments& arguments) {
    StageTimes times = {.forward = arguments.number("--forward"),
                        .backward = arguments.number("--backward"),
                        .weight = arguments.number("--weight")};
    times.overlapped = arguments.has("--overlapped") ? arguments.number("--overlapped")
                                                     : times.forward + times.backward;
    return times;
}

/// The times of `stages` stages: schedules with several on a rank cut the layers finer. The head
/// comes on top of the last one; its backward takes twice as long, half of that for weights.
Timing timing_argument(const Arguments& arguments, int ranks, int stages) {
    const StageTimes times = times_argument(arguments);
    const double share = double(ranks) / stages, head = arguments.number("--head", 0, 1e12);
    const StageTimes each = {.forward = times.forward * share,
                             .backward = times.backward * share,
                             .weight = times.weight * share,
                             .overlapped = times.overlapped * share};
    Timing timing = {.stages = std::vector<StageTimes>(size_t(stages), each),
                     .message = arguments.number("--message")};
    StageTimes& last = timing.stages.back();
    last.forward += head;
    last.backward += 2 * head;
    last.weight += head;
    last.overlapped += 3 * head;
    return timing;
}

/// Checks the times as they were given, before schedules divide them.
void check_times(const Arguments& arguments) {
    pipeline::check_timing(
        {.stages = {times_argument(arguments)}, .message = arguments.number("--message")}, 1);
    pipeline::check_timing(timing_argument(arguments, 1, 1), 1);
}

pipeline::Shape shape_argument(const Arguments& arguments) {
    return {.ranks = int(arguments.integer("--ranks", INT32_MIN, INT32_MAX)),
            .micro_batches = int(arguments.integer("--micro-batches", INT32_MIN, INT32_MAX)),
            .stages_per_rank = int(arguments.integer("--stages-per-rank", INT32_MIN, INT32_MAX))};
}

/// A schedule and what came of it.
struct Planned {
    Planned(const Arguments& arguments, std::string_view name, pipeline::Shape shape)
        : kind(pipeline::find_schedule(name)) {
        check_shape(shape);
        share_of_layers = double(shape.ranks) / kind.stages(shape);
        timing = shape.timing = timing_argument(arguments, shape.ranks, kind.stages(shape));
        schedule = make_schedule(name, shape);
        const std::vector<std::string> found = problems(schedule);
        if (!found.empty()) {
            throw Error(Error::Kind::internal, concat("schedule ", name, ": ", found.front()));
        }
        timeline = simulate(schedule, timing);
        idle_mean =
            std::accumulate(timeline.idle.begin(), timeline.idle.end(), 0.0) / schedule.ranks;
    }

    double idle_percent() const {
        return timeline.makespan > 0 ? 100 * idle_mean / timeline.makespan : 0;
    }
    double published_bubble() const {
        return kind.bubble(schedule.ranks, timing.of(0));
    }
    /// The most that a rank keeps for backward, in units of one micro-batch in 1/ranks of the
    /// layers.
    double peak_activations() const {
        return std::ranges::max(timeline.peak_activations) * share_of_layers;
    }

    const pipeline::ScheduleKind& kind;
    double share_of_layers = 1;  // of a stage, in 1/ranks of the layers
    Schedule schedule;
    Timing timing;
    Timeline timeline;
    double idle_mean = 0;
};

void write_picture(const Arguments& arguments, Report& report, std::string_view option,
                   std::string_view name, const std::string& content) {
    const auto path = output_argument(arguments, option);
    write_file_atomically(path, content);
    report.add(name, path.string());
}

void report_inputs(const Arguments& arguments, Report& report, const pipeline::Shape& shape) {
    const StageTimes times = times_argument(arguments);
    report.add("ranks", shape.ranks);
    report.add("micro_batches", shape.micro_batches);
    report.add("stages_per_rank", shape.stages_per_rank);
    report.add("forward", times.forward);
    report.add("backward", times.backward);
    report.add("weight", times.weight);
    report.add("overlapped", times.overlapped);
    report.add("head", arguments.number("--head"));
    report.add("message", arguments.number("--message"));
}

void report_one(const Arguments& arguments, Report& report, const Planned& planned) {
    report.add("schedule", planned.schedule.name);
    report.add("stages", planned.schedule.stages);
    report.add("makespan", planned.timeline.makespan);
    report.add("lower_bound", lower_bound(planned.schedule, planned.timing));
    report.add("idle_percent", planned.idle_percent());
    report.add("published_bubble", planned.published_bubble());
    report.add("bubble_formula", planned.kind.bubble_formula);
    report.add("peak_activations", planned.peak_activations());
    report.add("weight_copies", planned.schedule.weight_copies());
    for (size_t rank = 0; rank < planned.timeline.idle.size(); ++rank) {
        report.add_row("per_rank",
                       Record()
                           .add("rank", rank)
                           .add("busy", planned.timeline.busy[rank])
                           .add("idle", planned.timeline.idle[rank])
                           .add("peak_chunks", planned.timeline.peak_activations[rank]));
    }
    if (arguments.flag("--text") || arguments.flag("--ascii")) {
        const auto letters =
            arguments.flag("--ascii") ? pipeline::Letters::ascii : pipeline::Letters::unicode;
        const std::string picture = draw_text(planned.schedule, planned.timeline, letters);
        report.say(picture);
        if (report.json()) report.add("picture", picture);
    }
    if (arguments.has("--svg")) {
        write_picture(arguments, report, "--svg", "svg",
                      draw_svg(planned.schedule, planned.timing, planned.timeline));
    }
    if (arguments.has("--trace")) {
        write_picture(arguments, report, "--trace", "trace",
                      draw_trace(planned.schedule, planned.timeline));
    }
}

/// Idle time of every schedule that can run them, against the number of micro-batches.
std::string comparison_chart(const Arguments& arguments, const pipeline::Shape& shape) {
    constexpr const char* kColors[] = {"#777777", "#b8860b", "#2a9d8f",
                                       "#1f77b4", "#d62728", "#9467bd"};
    chart::LineChart picture = {.title = concat("Idle time on ", shape.ranks, " ranks"),
                                .x_label = "micro-batches",
                                .y_label = "percent of the step",
                                .log_x = true,
                                .series = {}};
    for (size_t i = 0; i < pipeline::schedule_kinds().size(); ++i) {
        const std::string_view name = pipeline::schedule_kinds()[i].name;
        chart::Series series = {.name = std::string(name),
                                .color = kColors[i % std::size(kColors)],
                                .points = {},
                                .markers = true};
        for (int factor = 1; factor <= 16; factor *= 2) {
            pipeline::Shape more = shape;
            more.micro_batches = factor * shape.ranks;
            try {
                const Planned planned(arguments, name, more);
                series.points.emplace_back(more.micro_batches, planned.idle_percent());
            } catch (const Error& error) {
                if (error.kind() != Error::Kind::usage) throw;  // a shape that it does not run
            }
        }
        picture.series.push_back(std::move(series));
    }
    return chart::line_chart_svg(picture);
}

void report_all(const Arguments& arguments, Report& report, const pipeline::Shape& shape) {
    pipeline::check_shape(shape);
    for (const pipeline::ScheduleKind& kind : pipeline::schedule_kinds()) {
        try {
            const Planned planned(arguments, kind.name, shape);
            report.add_row("schedules", Record()
                                            .add("schedule", kind.name)
                                            .add("stages", planned.schedule.stages)
                                            .add("makespan", planned.timeline.makespan)
                                            .add("idle", planned.idle_mean)
                                            .add("idle_percent", planned.idle_percent())
                                            .add("published_bubble", planned.published_bubble())
                                            .add("peak_activations", planned.peak_activations())
                                            .add("weight_copies", planned.schedule.weight_copies())
                                            .add("formula", kind.bubble_formula));
        } catch (const Error& error) {
            if (error.kind() != Error::Kind::usage) throw;
            report.add_row("impossible",
                           Record().add("schedule", kind.name).add("reason", error.what()));
        }
    }
    if (arguments.has("--svg")) {
        write_picture(arguments, report, "--svg", "svg", comparison_chart(arguments, shape));
    }
}

/// The figures of a schedule that a sweep compares; times are in the unit of --forward.
plan::Answer answer_of(const Planned& planned) {
    plan::Section section{.title = "SCHEDULE"};
    section.figures = {
        {"makespan", "makespan", planned.timeline.makespan, ""},
        {"idle", "idle", planned.idle_percent() / 100, "share"},
        {"peak_activations", "micro-batches kept", planned.peak_activations(), ""},
        {"weight_copies", "copies of weights", double(planned.schedule.weight_copies()), ""}};
    plan::Answer answer{.title = planned.schedule.name, .sections = {section}, .headline = {}};
    for (const plan::Figure& figure : section.figures) answer.headline.push_back(figure.key);
    return answer;
}

void run_pipeline_sweep(const Arguments& arguments, Report& report) {
    constexpr const char* kKeys[] = {"schedule", "ranks",    "micro-batches", "stages-per-rank",
                                     "forward",  "backward", "weight",        "overlapped",
                                     "head",     "message"};
    const plan::SweepRequest request = plan::parse_sweep(arguments.text("--sweep"));
    if (std::ranges::find(kKeys, request.key) == std::end(kKeys)) {
        throw Error(Error::Kind::usage, concat("--sweep: unknown input '", request.key,
                                               "' (the options that shape the schedule: ranks, "
                                               "micro-batches, forward, …)"));
    }
    const plan::Sweep sweep =
        plan::sweep(request.key, request.values, [&](const std::string& value) {
            const Arguments point = arguments.with("--" + request.key, value);
            check_times(point);
            return answer_of({point, point.text("--schedule"), shape_argument(point)});
        });
    const std::string name = arguments.has("--schedule") ? arguments.text("--schedule") : "";
    report_sweep(arguments, report, sweep, concat("Pipeline ", name, " · by ", request.key));
}

void run_plan_pipeline(const Arguments& arguments, Report& report) {
    if (arguments.has("--sweep")) return run_pipeline_sweep(arguments, report);
    const pipeline::Shape shape = shape_argument(arguments);
    // As given, before schedules with several stages on a rank divide them.
    check_times(arguments);
    const bool compare = arguments.flag("--compare");
    if (compare == arguments.has("--schedule")) {
        throw Error(Error::Kind::usage, "give either --schedule NAME or --compare");
    }
    if (compare) {
        for (const char* option : {"--trace", "--text", "--ascii"}) {
            if (!arguments.has(option)) continue;
            throw Error(Error::Kind::usage,
                        concat(option, " shows one schedule (give --schedule, not --compare)"));
        }
        report_inputs(arguments, report, shape);
        return report_all(arguments, report, shape);
    }
    const Planned planned(arguments, arguments.text("--schedule"), shape);
    report_inputs(arguments, report, shape);
    report_one(arguments, report, planned);
}

}  // namespace

extern const Command kPlanPipeline = {
    .name = "plan pipeline",
    .group = Group::planning,
    .summary = "How a pipeline schedule fills its ranks: time, memory, pictures",
    .example = "hadal plan pipeline --schedule dualpipe --ranks 8 --micro-batches 20 --text",
    .options =
        {
            {.name = "--schedule",
             .value = "NAME",
             .help = "1f1b, interleaved, zb-h1, zb-v, dualpipe or dualpipev"},
            {.name = "--compare", .help = "a table of all schedules instead"},
            {.name = "--ranks", .value = "P", .help = "pipeline ranks", .fallback = "8"},
            {.name = "--micro-batches",
             .value = "M",
             .help = "micro-batches of a step, of both directions together",
             .fallback = "16"},
            {.name = "--stages-per-rank",
             .value = "V",
             .help = "of the interleaved schedule",
             .fallback = "2"},
            {.name = "--forward",
             .value = "F",
             .help = "time of a micro-batch's forward in 1/P of the layers",
             .fallback = "1"},
            {.name = "--backward",
             .value = "B",
             .help = "the same of its backward, weights included",
             .fallback = "2"},
            {.name = "--weight",
             .value = "W",
             .help = "the part of B for the weights",
             .fallback = "1"},
            {.name = "--overlapped",
             .value = "T",
             .help = "F&B, a forward and a backward overlapped (default: F + B)"},
            {.name = "--head",
             .value = "T",
             .help = "forward of output head and MTP, on top of the last stage's layers",
             .fallback = "0"},
            {.name = "--message",
             .value = "T",
             .help = "time from one rank to the next",
             .fallback = "0"},
            {.name = "--sweep",
             .value = "KEY=A,B,…",
             .help = "one answer a value of an option above: ranks, message, schedule, …"},
            {.name = "--svg",
             .value = "FILE",
             .help = "a picture; of --compare: idle time against micro-batches"},
            {.name = "--trace", .value = "FILE", .help = "for Perfetto or chrome://tracing"},
            {.name = "--text", .help = "a picture in letters"},
            {.name = "--ascii", .help = "the same in ASCII"},
            {.name = "--force", .help = "replace files that exist"},
        },
    .run = run_plan_pipeline,
};

}  // namespace hadal::cli
