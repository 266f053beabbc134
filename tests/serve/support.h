// A service over a small random model, and exchanges without a network.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/rotary_scaling.h"
#include "model/support.h"
#include "serve/service.h"
#include "text/bpe_train.h"

namespace hadal::test {

/// Keeps what it is sent. The client reads at once unless `slow`.
class FakeExchange : public http::Exchange {
  public:
    explicit FakeExchange(http::Request request) : request_(std::move(request)) {}

    const http::Request& request() const override {
        return request_;
    }
    void send(http::Response response) override {
        const std::lock_guard lock(mutex_);
        CHECK(!over_);
        CHECK(!streaming_);
        response_ = std::move(response);
        end();
    }
    void begin_stream(http::Response head) override {
        const std::lock_guard lock(mutex_);
        CHECK(!over_);
        response_ = std::move(head);
        streaming_ = true;
    }
    void write(std::string bytes) override {
        const std::lock_guard lock(mutex_);
        CHECK(streaming_);
        CHECK(!over_);
        ++writes_;
        if (slow_) unsent_ += bytes.size();
        response_.body += bytes;
        changed_.notify_all();
    }
    void finish() override {
        const std::lock_guard lock(mutex_);
        CHECK(streaming_);
        end();
    }
    size_t unsent_bytes() const override {
        const std::lock_guard lock(mutex_);
        return unsent_;
    }
    void on_disconnect(std::function<void()> handler) override {
        {
            const std::lock_guard lock(mutex_);
            disconnected_ = std::move(handler);
            if (!gone_) return;
        }
        disconnect();
    }

    /// The client goes away.
    void disconnect() {
        std::function<void()> handler;
        {
            const std::lock_guard lock(mutex_);
            gone_ = true;
            handler = std::exchange(disconnected_, nullptr);
        }
        if (handler) handler();
    }
    /// From now on nothing is read; so much lies there already.
    void read_nothing(size_t unsent) {
        const std::lock_guard lock(mutex_);
        slow_ = true;
        unsent_ = unsent;
    }
    size_t writes() const {
        const std::lock_guard lock(mutex_);
        return writes_;
    }
    /// Waits for the end of the answer.
    http::Response response() {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, std::chrono::minutes(1), [this] { return over_; }));
        return response_;
    }
    /// Waits until the body holds `text`.
    void wait_for(std::string_view text) {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, std::chrono::minutes(1),
                                  [&] { return response_.body.find(text) != std::string::npos; }));
    }

  private:
    void end() {
        over_ = true;
        changed_.notify_all();
    }

    http::Request request_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    http::Response response_;
    std::function<void()> disconnected_;
    bool streaming_ = false, over_ = false, slow_ = false, gone_ = false;
    size_t unsent_ = 0, writes_ = 0;
};

/// Byte-level, with the control tokens of V3 and a few merges.
inline text::Tokenizer small_tokenizer() {
    ThreadPool threads(1);
    const std::vector<std::string_view> texts = {
        "the end of the story, the end. Once upon a time there was a user: näive 中文"};
    return text::train_bpe(threads, texts, {.vocab_size = 320});
}

inline model::Model small_model(Context& context, int64_t vocab_size, int64_t positions = 512) {
    model::ModelConfig config = model::preset("tiny");
    config.vocab_size = vocab_size;
    config.initializer_range = 0.1;
    config.max_position_embeddings = positions;
    return {config, model::init_weights(context, config, DType::bf16, 3),
            model::rotary_table(config, positions, DType::f32)};
}

class ServedFixture {
  public:
    explicit ServedFixture(infer::EngineOptions engine = {.cache_bytes = 1 << 22,
                                                          .max_sequences = 8},
                           serve::RequestLimits limits = {},
                           std::chrono::milliseconds keep_alive = std::chrono::seconds(5),
                           std::optional<chat::Template> chat_template = {},
                           std::chrono::milliseconds patience = std::chrono::minutes(1))
        : tokenizer(small_tokenizer()),
          model(small_model(machine.context, tokenizer.vocab_size())),
          service(machine.context, model, tokenizer,
                  {.model_name = "small",
                   .aliases = {"deepseek-chat"},
                   .chat_template = std::move(chat_template),
                   .engine = engine,
                   .limits = limits,
                   .keep_alive = keep_alive,
                   .patience = patience}) {}

    std::shared_ptr<FakeExchange> ask(const std::string& method, const std::string& path,
                                      const std::string& body = "") {
        http::Request request;
        request.method = method;
        request.path = path;
        request.body = body;
        auto exchange = std::make_shared<FakeExchange>(std::move(request));
        service.handle(exchange);
        return exchange;
    }
    http::Response answer(const std::string& path, const std::string& body) {
        return ask("POST", path, body)->response();
    }
    nlohmann::json json(const std::string& path, const nlohmann::json& body) {
        const http::Response response = answer(path, body.dump());
        CAPTURE(response.body);
        REQUIRE(response.status == 200);
        return nlohmann::json::parse(response.body);
    }

    Machine machine;
    text::Tokenizer tokenizer;
    model::Model model;
    serve::Service service;
};

/// The JSON of a stream's events, the last of which must be [DONE].
inline std::vector<nlohmann::json> events_of(const http::Response& response) {
    CHECK(response.status == 200);
    CHECK(response.content_type == "text/event-stream");
    std::vector<nlohmann::json> events;
    bool done = false;
    for (size_t begin = 0; begin < response.body.size();) {
        const size_t end = response.body.find("\n\n", begin);
        REQUIRE(end != std::string::npos);
        const std::string event = response.body.substr(begin, end - begin);
        begin = end + 2;
        if (event.starts_with(":")) continue;
        CHECK(!done);
        REQUIRE(event.starts_with("data: "));
        done = event == "data: [DONE]";
        if (!done) events.push_back(nlohmann::json::parse(event.substr(6)));
    }
    CHECK(done);
    return events;
}

}  // namespace hadal::test
