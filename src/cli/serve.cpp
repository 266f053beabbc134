// `hadal serve`: the model behind an HTTP server.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "cli/arguments.h"
#include "cli/engine_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/stop_signals.h"
#include "cli/text_model.h"
#include "http/server.h"
#include "serve/api_error.h"
#include "serve/gate.h"
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
            .adaptive_drafts = guesses.adaptive,
            .attention = attention_forms(arguments),
            .fp8_cache = is_cache_fp8(arguments)};
}

http::ServerOptions server_options(const Arguments& arguments) {
    http::ServerOptions options;
    options.host = arguments.text("--host");
    options.port = uint16_t(arguments.integer("--port", 0, 65535));
    if (arguments.has("--tls-certificate")) {
        options.tls_certificate = arguments.path("--tls-certificate");
    }
    if (arguments.has("--tls-key")) options.tls_key = arguments.path("--tls-key");
    options.max_body_bytes = size_t(arguments.integer("--max-body-mib", 1, 4096)) << 20;
    options.max_connections = arguments.integer("--max-connections", 1, 1 << 20);
    options.error_body = [](int status, std::string_view message) {
        return serve::ApiError(status, std::string(message)).body();
    };
    return options;
}

serve::ServiceOptions service_options(const Arguments& arguments, const TextModel& text_model,
                                      serve::Metrics& metrics) {
    serve::ServiceOptions options;
    options.model_name = model_name(arguments);
    options.aliases = arguments.texts("--alias");
    options.chat_template = chat_template_argument(arguments);
    options.engine = engine_options(arguments, text_model);
    options.limits.max_tokens = arguments.integer("--max-tokens", 0);
    options.request_timeout =
        std::chrono::milliseconds(int64_t(arguments.number("--request-timeout", 0, 1e6) * 1000));
    options.metrics = &metrics;
    return options;
}

serve::GateOptions gate_options(const Arguments& arguments, serve::AccessLog* log) {
    serve::GateOptions options;
    if (arguments.has("--api-key-file")) {
        options.keys = serve::ApiKeys::from_file(arguments.path("--api-key-file"));
    }
    options.cross_origin = serve::CrossOrigin(arguments.texts("--cors-origin"));
    options.open_requests = arguments.integer("--max-requests", 1, 1 << 20);
    options.waiting_texts = arguments.integer("--max-queue", 1, 1 << 20);
    options.longest_step =
        std::chrono::duration<double>(arguments.number("--longest-step", 0, 1e6));
    options.log = log;
    return options;
}

bool is_only_for_this_machine(const std::string& host) {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
}

void warn_of_strangers(const std::string& host, const serve::GateOptions& options) {
    if (is_only_for_this_machine(host) || !options.keys.empty()) return;
    std::fprintf(stderr,
                 "warning: whoever reaches %s can use this server: no API key is asked for "
                 "(--api-key-file FILE, or --host 127.0.0.1)\n",
                 host.c_str());
}

/// A connection is a file descriptor, and the usual limit is 1024.
void allow_many_files() {
    rlimit limit = {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);  // if not, connections wait until others end
}

std::optional<serve::AccessLog> access_log(const Arguments& arguments) {
    const std::string& file = arguments.text("--access-log");
    if (file == "off") return std::nullopt;
    return std::optional<serve::AccessLog>(std::in_place, file);
}

/// On SIGHUP. Keys that cannot be read leave the old ones in force.
void reload_keys(const Arguments& arguments, serve::Gate& gate) {
    if (!arguments.has("--api-key-file")) return;
    try {
        gate.set_keys(serve::ApiKeys::from_file(arguments.path("--api-key-file")));
        std::fprintf(stderr, "API keys read again\n");
    } catch (const Error& error) {
        std::fprintf(stderr, "warning: the API keys stay as they were: %s\n", error.what());
    }
}

void run_serve(const Arguments& arguments, Report& report) {
    StopSignals signals;  // before any thread
    ReloadSignal reload;
    allow_many_files();
    http::ServerOptions server_settings = server_options(arguments);
    Machine machine(arguments.globals());
    const TextModel text_model = text_model_argument(
        arguments,
        arguments.has("--context") ? arguments.integer("--context", 2, int64_t(1) << 24) : 0);
    // Once there is a model: a wrong name makes no file.
    std::optional<serve::AccessLog> log = access_log(arguments);
    serve::GateOptions gate_settings = gate_options(arguments, log ? &*log : nullptr);
    warn_of_strangers(server_settings.host, gate_settings);
    serve::Metrics metrics(model_name(arguments));
    serve::Service service(machine.context(), text_model.model, text_model.tokenizer,
                           service_options(arguments, text_model, metrics));
    serve::Gate gate(service, metrics, std::move(gate_settings));
    server_settings.on_answered = [&gate](const http::Request& request,
                                          const http::Outcome& outcome) {
        gate.answered(request, outcome);
    };
    http::Server server(server_settings, [&gate](std::shared_ptr<http::Exchange> exchange) {
        gate.handle(std::move(exchange));
    });
    const std::string url = concat(server_settings.tls_key.empty() ? "http://" : "https://",
                                   server_settings.host, ":", server.port());
    report.say(concat("ready at ", url));
    report.emit(Record().add("url", url).add("ready", true));
    while (!signals.requested() && service.engine().failure().empty()) {
        if (reload.requested()) reload_keys(arguments, gate);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    gate.drain();
    service.drain(std::chrono::seconds(arguments.integer("--drain", 0, 86400)));
    server.stop(std::chrono::seconds(2));
    if (const std::string failure = service.engine().failure(); !failure.empty()) {
        throw Error(Error::Kind::internal, concat("the engine has stopped: ", failure));
    }
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
        chat_template_option(),
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
        {.name = "--api-key-file",
         .value = "FILE",
         .help = "keys that clients need, one a line (default: none is asked for)"},
        {.name = "--tls-certificate", .value = "FILE", .help = "PEM, the chain; with --tls-key"},
        {.name = "--tls-key", .value = "FILE", .help = "PEM"},
        {.name = "--cors-origin",
         .value = "ORIGIN",
         .help = "whose pages may use the server from a browser, * for all; may be given "
                 "several times",
         .repeated = true},
        {.name = "--max-requests",
         .value = "N",
         .help = "open at one time; more hear 429",
         .fallback = "256"},
        {.name = "--max-queue",
         .value = "N",
         .help = "texts that wait for the engine; more hear 429",
         .fallback = "1024"},
        {.name = "--max-tokens",
         .value = "N",
         .help = "of one answer; 0: as many as the model takes",
         .fallback = "0"},
        {.name = "--max-body-mib", .value = "N", .help = "of a request", .fallback = "16"},
        {.name = "--max-connections", .value = "N", .help = "open at one time", .fallback = "4096"},
        {.name = "--longest-step",
         .value = "SECONDS",
         .help = "an engine that is in one step for longer is not healthy; 0: never",
         .fallback = "600"},
        {.name = "--request-timeout",
         .value = "SECONDS",
         .help = "for a whole answer; 0: none",
         .fallback = "0"},
        {.name = "--access-log",
         .value = "FILE",
         .help = "a line of JSON for each request, without its text; - for standard error, or off",
         .fallback = "-"},
        attention_option(),
        cache_dtype_option(),
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
