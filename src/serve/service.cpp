#include "serve/service.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "infer/text_prompt.h"
#include "serve/anthropic_request.h"
#include "serve/api_error.h"
#include "serve/error_response.h"
#include "serve/metrics.h"
#include "serve/page.h"
#include "serve/tasks.h"
#include "serve/tokens.h"

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

int64_t seconds_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

void send_error(http::Exchange& exchange, const ApiError& error) {
    exchange.send(error_response(exchange.request(), error));
}

/// Bodies are JSON, whatever else a client says that they are: curl -d calls them a form. Only what
/// cannot be JSON is refused by its name.
void check_content_type(const http::Request& request) {
    std::string type(request.header("Content-Type"));
    std::ranges::transform(type, type.begin(), [](char c) { return char(std::tolower(c)); });
    for (const std::string_view other : {"multipart/", "image/", "audio/", "video/"}) {
        if (!type.starts_with(other)) continue;
        throw ApiError(415, "the body must be JSON: send it with Content-Type: application/json");
    }
}

std::string hex(uint64_t number) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(number >> shift) & 15];
    return text;
}

}  // namespace

struct Service::Route {
    std::string_view method, path;
    void (Service::*answer)(const ExchangePtr&);
    bool slow;  // for a worker's thread
};

const std::vector<Service::Route>& Service::routes() {
    static const std::vector<Route> all = {
        {"POST", "/completions", &Service::complete, true},
        {"POST", "/chat/completions", &Service::chat, true},
        {"POST", "/messages", &Service::messages, true},
        {"POST", "/messages/count_tokens", &Service::count_tokens, true},
        {"POST", "/tokenize", &Service::tokenize, true},
        {"POST", "/detokenize", &Service::detokenize, true},
        {"GET", "/tokenizer_info", &Service::tokenizer_info, true},
        {"POST", "/embeddings", &Service::embeddings, false},
        {"GET", "/models", &Service::models, false},
        {"GET", "/hadal/live", &Service::live, false},
        {"GET", "/", &Service::chat_page, false},
    };
    return all;
}

Service::Service(Context& context, const model::Model& model, const text::Tokenizer& tokenizer,
                 ServiceOptions options)
    : model_(model),
      options_(std::move(options)),
      prompter_(tokenizer, std::move(options_.chat_template)),
      served_{.name = options_.model_name,
              .aliases = options_.aliases,
              .tokenizer = tokenizer,
              .prompter = prompter_,
              .format = chat::format_of_template(prompter_.chat_template().source()),
              .created = seconds_now()},
      grammars_(tokenizer, served_.format),
      loop_(context, model, options_.engine, options_.metrics),
      random_(std::random_device()()) {
    const infer::GenerateOptions text_options = infer::text_options(model.config, tokenizer);
    served_.stop_ids = text_options.stop_ids;
    served_.num_ids = text_options.num_ids;
    served_.most_tokens = loop_.most_tokens();
    served_.limit_prompts();
    ticker_ = std::jthread([this](const std::stop_token& stop) { tick(stop); });
}

Service::~Service() = default;

void Service::handle(ExchangePtr exchange) {
    const std::string_view path = without_prefix(exchange->request().path);
    const std::string& method = exchange->request().method;
    try {
        std::string_view other_method;
        for (const Route& route : routes()) {
            if (route.path != path) continue;
            if (route.method != method) {
                other_method = route.method;
                continue;
            }
            check_content_type(exchange->request());
            if (!route.slow) return (this->*route.answer)(exchange);
            return preparers_.post([this, exchange, answer = route.answer] {
                try {
                    (this->*answer)(exchange);
                } catch (const std::exception& error) {
                    send_error(*exchange, as_api_error(error));
                }
            });
        }
        constexpr std::string_view kModels = "/models/";
        if (method == "GET" && path.starts_with(kModels) && path.size() > kModels.size()) {
            return model(exchange, path.substr(kModels.size()));
        }
        if (other_method.empty()) throw ApiError(404, "there is nothing at this path");
        const ApiError error(405, concat("this path is asked with ", other_method));
        http::Response response = error_response(exchange->request(), error);
        response.headers.emplace_back("Allow", other_method == "GET" ? "GET, HEAD" : other_method);
        exchange->send(std::move(response));
    } catch (const std::exception& error) {
        send_error(*exchange, as_api_error(error));
    }
}

bool Service::drain(std::chrono::milliseconds at_most) {
    loop_.close();
    const bool idle = loop_.wait_until_idle(at_most);
    if (!idle) {
        std::vector<std::weak_ptr<Generation>> generations;
        {
            const std::lock_guard lock(mutex_);
            generations = generations_;
        }
        for (const auto& weak : generations) {
            if (const auto generation = weak.lock()) generation->cancel();
        }
    }
    return idle;
}

AnswerHead Service::head(std::string_view prefix, const TextRequest& request) {
    return {.id = concat(prefix, hex(random())),
            .created = seconds_now(),
            .model = request.model.empty() ? served_.name : request.model,
            .stream = request.stream,
            .include_usage = request.include_usage};
}

uint64_t Service::random() {
    const std::lock_guard lock(mutex_);
    return random_();
}

void Service::complete(const ExchangePtr& exchange) {
    const auto request = parse_completion_request(exchange->request().body, options_.limits);
    served_.check_name(request.model);
    start(exchange, completion_task(request, served_, grammars_, head("cmpl-", request), random()));
}

void Service::chat(const ExchangePtr& exchange) {
    const auto request = parse_chat_request(exchange->request().body, options_.limits);
    served_.check_name(request.model);
    start(exchange, chat_task(request, served_, grammars_, head("chatcmpl-", request), random()));
}

void Service::messages(const ExchangePtr& exchange) {
    const std::string& body = exchange->request().body;
    const ChatRequest request = parse_messages_request(body, options_.limits);
    if (!request.max_tokens) throw ApiError::field("max_tokens", "'max_tokens' is missing");
    AnswerHead answer = head("msg_", request);
    answer.form = AnswerHead::Form::anthropic;
    if (const std::string model = messages_model(body); !model.empty()) answer.model = model;
    start(exchange, chat_task(request, served_, grammars_, std::move(answer), random()));
}

void Service::count_tokens(const ExchangePtr& exchange) {
    const auto request = parse_messages_request(exchange->request().body, options_.limits);
    const GenerationTask task = chat_task(request, served_, grammars_, head("", request), 0);
    exchange->send({.body = Json({{"input_tokens", task.texts.front().prompt.size()}}).dump()});
}

void Service::start(const ExchangePtr& exchange, GenerationTask task) {
    if (options_.metrics != nullptr) {
        options_.metrics->asked(int64_t(task.texts.size()), task.texts.front().max_new_tokens);
    }
    const auto generation =
        Generation::start(loop_, writer_, served_.tokenizer, exchange, std::move(task));
    const std::lock_guard lock(mutex_);
    generations_.push_back(generation);
}

void Service::tick(const std::stop_token& stop) {
    using namespace std::chrono_literals;
    const auto limit = options_.request_timeout;
    const auto pause =
        limit.count() > 0 ? std::min(options_.keep_alive, limit / 8 + 1ms) : options_.keep_alive;
    auto commented = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        stopped_.wait_for(lock, stop, pause, [] { return false; });
        std::erase_if(generations_, [](const auto& weak) { return weak.expired(); });
        const auto now = std::chrono::steady_clock::now();
        const bool comments = now - commented >= options_.keep_alive;
        if (comments) commented = now;
        for (const auto& weak : generations_) {
            const auto generation = weak.lock();
            if (!generation) continue;
            if (limit.count() > 0 && now - generation->started() >= limit) generation->expire();
            if (comments) generation->keep_alive(options_.patience);
        }
    }
}

void Service::models(const ExchangePtr& exchange) {
    Json data = Json::array();
    data.push_back(model_json(served_, served_.name));
    for (const std::string& alias : served_.aliases) data.push_back(model_json(served_, alias));
    exchange->send({.body = Json({{"object", "list"}, {"data", data}}).dump()});
}

void Service::model(const ExchangePtr& exchange, std::string_view name) {
    served_.check_name(std::string(name));
    exchange->send({.body = model_json(served_, std::string(name)).dump()});
}

void Service::tokenize(const ExchangePtr& exchange) {
    exchange->send({.body = tokenize_answer(exchange->request().body, served_, options_.limits)});
}

void Service::tokenizer_info(const ExchangePtr& exchange) {
    exchange->send({.body = serve::tokenizer_info(served_)});
}

void Service::detokenize(const ExchangePtr& exchange) {
    exchange->send({.body = detokenize_answer(exchange->request().body, served_)});
}

void Service::chat_page(const ExchangePtr& exchange) {
    const Page& chat = page("chat");
    http::Response response{.content_type = "text/html; charset=utf-8",
                            .body = std::string(chat.html)};
    response.headers = {{"Content-Security-Policy", std::string(chat.content_security_policy)},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cache-Control", "no-cache"}};
    exchange->send(std::move(response));
}

void Service::embeddings(const ExchangePtr& exchange) {
    send_error(*exchange, {404,
                           "this server has no embeddings: the model generates text and was "
                           "not trained to embed it",
                           "", "unsupported_endpoint"});
}

void Service::live(const ExchangePtr& exchange) {
    const infer::EngineStats stats = loop_.stats();
    const auto uptime = std::chrono::steady_clock::now() - started_;
    const Json json = {
        {"model", served_.name},
        {"uptime_seconds", std::chrono::duration<double>(uptime).count()},
        {"page_tokens", infer::kPageTokens},
        {"max_sequences", options_.engine.max_sequences},
        {"engine",
         {{"steps", stats.steps},
          {"step_tokens", stats.step_tokens},
          {"prompt_tokens", stats.prompt_tokens},
          {"reused_tokens", stats.reused_tokens},
          {"generated_tokens", stats.generated_tokens},
          {"draft_tokens", stats.draft_tokens},
          {"accepted_tokens", stats.accepted_tokens},
          {"preemptions", stats.preemptions},
          {"running", stats.running},
          {"waiting", stats.waiting},
          {"pages", stats.pages},
          {"free_pages", stats.free_pages},
          {"idle_pages", stats.idle_pages}}},
        {"experts",
         {{"first_layer", model_.config.first_k_dense_replace}, {"load", loop_.expert_load()}}}};
    exchange->send({.body = json.dump()});
}

}  // namespace hadal::serve
