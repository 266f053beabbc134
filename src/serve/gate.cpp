#include "serve/gate.h"

#include <utility>

#include "serve/error_response.h"

namespace hadal::serve {

namespace {

/// Passes everything on, with headers of the gate's, and holds a place among the open requests.
class GatedExchange : public http::Exchange {
  public:
    GatedExchange(std::shared_ptr<http::Exchange> inner, CrossOrigin::Headers headers,
                  std::shared_ptr<void> place)
        : inner_(std::move(inner)), headers_(std::move(headers)), place_(std::move(place)) {
        if (inner_->request().method == "HEAD") {  // asks for the head of GET's answer
            as_get_ = inner_->request();
            as_get_->method = "GET";
        }
    }

    const http::Request& request() const override {
        return as_get_ ? *as_get_ : inner_->request();
    }
    void send(http::Response response) override {
        place_.reset();  // before the client can know of the end, and ask again
        inner_->send(with_headers(std::move(response)));
    }
    void begin_stream(http::Response head) override {
        inner_->begin_stream(with_headers(std::move(head)));
    }
    void write(std::string bytes) override {
        inner_->write(std::move(bytes));
    }
    void finish() override {
        place_.reset();
        inner_->finish();
    }
    size_t unsent_bytes() const override {
        return inner_->unsent_bytes();
    }
    void on_disconnect(std::function<void()> handler) override {
        inner_->on_disconnect(std::move(handler));
    }

  private:
    http::Response with_headers(http::Response response) const {
        response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
        return response;
    }

    std::shared_ptr<http::Exchange> inner_;
    CrossOrigin::Headers headers_;
    std::shared_ptr<void> place_;
    std::optional<http::Request> as_get_;
};

/// Kubernetes' habit, and that of SageMaker.
bool is_health(std::string_view path) {
    return path == "/health" || path == "/ping";
}

/// Paths that cost the engine's time.
bool wants_text(const http::Request& request) {
    return request.method == "POST" &&
           (request.path.ends_with("/completions") || request.path.ends_with("/messages"));
}

void send_error(http::Exchange& exchange, const ApiError& error) {
    exchange.send(error_response(exchange.request(), error));
}

}  // namespace

Gate::Gate(Service& service, Metrics& metrics, GateOptions options)
    : service_(service),
      metrics_(metrics),
      options_(std::move(options)),
      keys_(std::make_shared<const ApiKeys>(std::move(options_.keys))) {}

void Gate::set_keys(ApiKeys keys) {
    auto fresh = std::make_shared<const ApiKeys>(std::move(keys));
    const std::lock_guard lock(mutex_);
    keys_.swap(fresh);
}

std::shared_ptr<const ApiKeys> Gate::keys() const {
    const std::lock_guard lock(mutex_);
    return keys_;
}

void Gate::handle(std::shared_ptr<http::Exchange> exchange) {
    const http::Request& request = exchange->request();
    if (auto response = options_.cross_origin.preflight(request)) {
        return exchange->send(std::move(*response));
    }
    CrossOrigin::Headers headers = options_.cross_origin.headers(request);
    std::shared_ptr<void> place;
    try {
        if (options_.cross_origin.refuses(request)) {
            throw ApiError(403, "pages of this origin may not use the server (--cors-origin)");
        }
        check_key(request);
        place = take_place(request);
    } catch (const ApiError& error) {
        GatedExchange refused(std::move(exchange), std::move(headers), nullptr);
        return send_error(refused, error);
    }
    const auto gated =
        std::make_shared<GatedExchange>(std::move(exchange), std::move(headers), std::move(place));
    if (!answer_operations(*gated)) service_.handle(gated);
}

/// Everything needs a key but what a load balancer asks, and the page that asks its user for one.
void Gate::check_key(const http::Request& request) const {
    const std::string& path = request.path;
    const auto keys = this->keys();
    if (keys->empty() || is_health(path) || path == "/ready" || path == "/") return;
    if (keys->name_of(request)) return;
    throw ApiError(401, "a valid API key is needed: Authorization: Bearer KEY", "",
                   "invalid_api_key");
}

std::shared_ptr<void> Gate::take_place(const http::Request& request) {
    if (!wants_text(request)) return nullptr;
    if (service_.engine().stats().waiting >= options_.waiting_texts) {
        throw ApiError(429, "too many texts are waiting: try again soon", "", "queue_full");
    }
    if (open_->fetch_add(1) >= options_.open_requests) {
        --*open_;
        throw ApiError(429, "too many requests are open: try again soon", "",
                       "rate_limit_exceeded");
    }
    return {open_.get(), [open = open_](void*) { --*open; }};
}

bool Gate::is_stuck() const {
    const auto longest = options_.longest_step;
    return longest.count() > 0 && service_.engine().step_time() > longest;
}

bool Gate::answer_operations(http::Exchange& exchange) const {
    const std::string& path = exchange.request().path;
    const bool is_ready_path = path == "/ready";
    if (exchange.request().method != "GET") return false;
    if (is_health(path) || is_ready_path) {
        const std::string failure = service_.engine().failure();
        if (!failure.empty()) {
            send_error(exchange, {503, "the engine has stopped"});
        } else if (is_stuck()) {
            send_error(exchange, {503, "the engine has been in one step for too long"});
        } else if (is_ready_path && draining_) {
            send_error(exchange, {503, "the server is shutting down"});
        } else {
            exchange.send({.body = "{\"status\":\"ok\"}"});
        }
        return true;
    }
    if (path != "/metrics") return false;
    exchange.send({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                   .body = metrics_.text({.engine = service_.engine().stats(),
                                          .expert_load = service_.engine().expert_load(),
                                          .first_expert_layer = service_.first_expert_layer(),
                                          .open_requests = *open_})});
    return true;
}

void Gate::answered(const http::Request& request, const http::Outcome& outcome) {
    metrics_.answered(request.path, outcome.status);
    if (options_.log == nullptr) return;
    const auto keys = this->keys();
    const std::string key = keys->empty() ? "" : keys->name_of(request).value_or("");
    options_.log->write(access_line(request, outcome, key));
}

void Gate::drain() {
    draining_ = true;
}

}  // namespace hadal::serve
