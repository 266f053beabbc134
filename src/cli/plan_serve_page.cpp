// `hadal plan --serve`: the planner as a page with sliders, for a meeting.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "cli/arguments.h"
#include "cli/plan_page.h"
#include "cli/report.h"
#include "cli/stop_signals.h"
#include "core/error.h"
#include "http/server.h"

namespace hadal::cli {

namespace {

using std::chrono::milliseconds;

void run_plan_page(const Arguments& arguments, Report& report) {
    StopSignals signals;
    // Answers take milliseconds: the server's own threads give them.
    http::Server server({.host = arguments.text("--host"),
                         .port = uint16_t(arguments.integer("--port", 0, UINT16_MAX)),
                         .max_body_bytes = size_t(1) << 20},
                        [](std::shared_ptr<http::Exchange> exchange) {
                            exchange->send(answer_plan_page(exchange->request()));
                        });
    const std::string url = concat("http://", arguments.text("--host"), ":", server.port());
    report.say(concat("ready at ", url));
    report.emit(Record().add("url", url).add("ready", true));
    while (!signals.requested()) std::this_thread::sleep_for(milliseconds(100));
    server.stop(milliseconds(1000));
}

}  // namespace

extern const Command kPlanServePage = {
    .name = "plan --serve",
    .group = Group::planning,
    .summary = "The planner as a web page with sliders",
    .example = "hadal plan --serve --port 8600",
    .options =
        {{.name = "--host",
          .value = "ADDRESS",
          .help = "address to listen at; others than this machine's own "
                  "see the page too",
          .fallback = "127.0.0.1"},
         {.name = "--port", .value = "N", .help = "0 takes any that is free", .fallback = "8600"}},
    .run = run_plan_page,
};

}  // namespace hadal::cli
