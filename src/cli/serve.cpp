// `hadal serve`: the model behind an HTTP server.
#include <chrono>
#include <thread>

#include "cli/arguments.h"
#include "cli/engine_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/stop_signals.h"
#include "cli/text_model.h"
#include "http/server.h"
#include "serve/api_error.h"
#include "serve/service.h"

namespace hadal::cli {

namespace {

/// "/models/moonlight/" → "moonlight".
std::string model_name(const Arguments& arguments) {
    if (arguments.has("--model-name")) return arguments.text("--model-name");
    const std::filesystem::path path = std::filesystem::absolute(arguments.path("MODEL"));
    const std::filesystem::path name =
        path.has_filename() ? path.filename() : path.parent_path().filename();
    return name.string();
}

infer::EngineOptions engine_options(const Arguments& arguments, const TextModel& text_model) {
    const Speculation guesses = speculation_argument(arguments, text_model.model.config);
    return {.cache_bytes = int64_t(arguments.number("--cache-gib", 0.0001, 1 << 20) *
                                   double(int64_t(1) << 30)),
            .max_sequences = arguments.integer("--max-sequences", 1, 4096),
            .max_step_tokens = arguments.integer("--max-step-tokens", 1, 1 << 20),
            .draft_tokens = guesses.draft_tokens,
            .draft_source = guesses.source,
            .attention = attention_forms(arguments)};
}

http::ServerOptions server_options(const Arguments& arguments) {
    http::ServerOptions options;
    options.host = arguments.text("--host");
    options.port = uint16_t(arguments.integer("--port", 0, 65535));
    options.error_body = [](int status, std::string_view message) {
        return serve::ApiError(status, std::string(message)).body();
    };
    return options;
}

void run_serve(const Arguments& arguments, Report& report) {
    StopSignals signals;  // before any thread
    Machine machine(arguments.globals());
    const TextModel text_model = text_model_argument(
        arguments,
        arguments.has("--context") ? arguments.integer("--context", 2, int64_t(1) << 24) : 0);
    serve::Service service(machine.context(), text_model.model, text_model.tokenizer,
                           {.model_name = model_name(arguments),
                            .aliases = arguments.texts("--alias"),
                            .engine = engine_options(arguments, text_model)});
    http::Server server(server_options(arguments), [&](std::shared_ptr<http::Exchange> exchange) {
        service.handle(std::move(exchange));
    });
    const std::string url = concat("http://", arguments.text("--host"), ":", server.port());
    report.say(concat("ready at ", url));
    report.emit(Record().add("url", url).add("ready", true));
    while (!signals.requested()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::chrono::seconds grace(arguments.integer("--drain", 0, 86400));
    service.drain(grace);
    server.stop(std::chrono::seconds(2));
}

std::vector<Option> options() {
    return {
        {.name = "MODEL", .help = "a model directory", .required = true},
        {.name = "--host",
         .value = "ADDRESS",
         .help = "where to listen; 0.0.0.0 is everywhere",
         .fallback = "127.0.0.1"},
        {.name = "--port", .value = "N", .help = "0 takes a free one", .fallback = "8000"},
        {.name = "--model-name",
         .value = "NAME",
         .help = "the model's name in the API (default: its directory's)"},
        {.name = "--alias",
         .value = "NAME",
         .help = "a further name, e.g. deepseek-chat; may be given several times",
         .repeated = true},
        {.name = "--context",
         .value = "N",
         .help = "tokens of a request at most (default: what the model takes)"},
        {.name = "--cache-gib",
         .value = "X",
         .help = "memory for the latents of all requests",
         .fallback = "1"},
        {.name = "--max-sequences",
         .value = "N",
         .help = "requests that run at one time; others wait",
         .fallback = "64"},
        {.name = "--max-step-tokens",
         .value = "N",
         .help = "tokens that one step computes at most",
         .fallback = "512"},
        speculate_option(),
        attention_option(),
        {.name = "--drain",
         .value = "SECONDS",
         .help = "after Ctrl-C or SIGTERM, for what runs to end",
         .fallback = "30"},
    };
}

}  // namespace

extern const Command kServe = {
    .name = "serve",
    .group = Group::use,
    .summary = "An API as OpenAI's and DeepSeek's, and a web page",
    .example = "hadal serve runs/demo/train/model --port 8000",
    .options = options(),
    .run = run_serve,
};

}  // namespace hadal::cli
