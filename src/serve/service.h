// The API behind the HTTP server: which path is answered by what. docs/serving.md has the table.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "chat/prompter.h"
#include "http/exchange.h"
#include "serve/engine_loop.h"
#include "serve/generation.h"
#include "serve/grammar_cache.h"
#include "serve/openai_request.h"
#include "serve/served_model.h"
#include "serve/workers.h"

namespace hadal::serve {

struct ServiceOptions {
    std::string model_name;
    std::vector<std::string> aliases = {};             // further names that requests may use
    std::optional<chat::Template> chat_template = {};  // else the tokenizer's, else V3's
    infer::EngineOptions engine = {};
    RequestLimits limits = {};
    std::chrono::milliseconds keep_alive{5000};    // a stream with nothing to say sends a comment
    std::chrono::milliseconds patience{30'000};    // after it a whole answer sends empty lines
    std::chrono::milliseconds request_timeout{0};  // an answer that takes longer is a 504; 0: none
    Metrics* metrics = nullptr;                    // outlives the service; null: nothing is counted
};

class Service {
  public:
    /// All of them must outlive the service, and the server that uses it must end before it.
    Service(Context& context, const model::Model& model, const text::Tokenizer& tokenizer,
            ServiceOptions options);
    ~Service();

    /// Answers, now or later, from other threads. Never waits, never throws.
    void handle(std::shared_ptr<http::Exchange> exchange);

    /// Takes no more requests, and waits for those that run, at most so long; what is left then is
    /// cancelled. True if nothing was.
    bool drain(std::chrono::milliseconds at_most);

    const EngineLoop& engine() const {
        return loop_;
    }
    /// The layer of the first row of the engine's expert load.
    int64_t first_expert_layer() const {
        return model_.config.first_k_dense_replace;
    }

  private:
    using ExchangePtr = std::shared_ptr<http::Exchange>;
    struct Route;
    static const std::vector<Route>& routes();

    void complete(const ExchangePtr& exchange);
    void chat(const ExchangePtr& exchange);
    void messages(const ExchangePtr& exchange);
    void count_tokens(const ExchangePtr& exchange);
    void models(const ExchangePtr& exchange);
    void model(const ExchangePtr& exchange, std::string_view name);
    void tokenize(const ExchangePtr& exchange);
    void tokenizer_info(const ExchangePtr& exchange);
    void detokenize(const ExchangePtr& exchange);
    void embeddings(const ExchangePtr& exchange);
    void live(const ExchangePtr& exchange);
    void chat_page(const ExchangePtr& exchange);
    void start(const ExchangePtr& exchange, GenerationTask task);
    AnswerHead head(std::string_view prefix, const TextRequest& request);
    uint64_t random();
    void tick(const std::stop_token& stop);

    const model::Model& model_;
    ServiceOptions options_;
    chat::Prompter prompter_;
    ServedModel served_;
    GrammarCache grammars_;
    Workers writer_{1};  // makes the answers' texts
    EngineLoop loop_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

    std::mutex mutex_;  // guards what follows
    std::mt19937_64 random_;
    std::vector<std::weak_ptr<Generation>> generations_;
    std::condition_variable_any stopped_;
    // Last, and so the first to end: both use all of the above, the generations too.
    Workers preparers_{2};  // read requests
    std::jthread ticker_;
};

}  // namespace hadal::serve
