#include "serve/metrics.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "serve/answer.h"

namespace hadal::serve {

namespace {

// The bounds of vLLM's histograms, so that boards can add up servers of both kinds.
constexpr double kFirstTokenBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                        0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                        20,    40,    80,   160,  640,  2560};
constexpr double kTokenBounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                   0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
constexpr double kRequestBounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                     30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
constexpr double kLengthBounds[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                    500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
constexpr double kStepBounds[] = {1,   2,   4,    8,    16,   32,   64,   128,
                                  256, 512, 1024, 2048, 4096, 8192, 16384};
constexpr double kChoiceBounds[] = {1, 2, 5, 10, 20};

std::string number(double value) {
    std::array<char, 40> text;
    std::snprintf(text.data(), text.size(), "%.12g", value);
    return text.data();
}

void append_label(std::string& text, std::string_view name, std::string_view value) {
    text += name;
    text += "=\"";
    for (const char c : value) {
        if (c == '\\' || c == '"') text += '\\';
        if (c == '\n') {
            text += "\\n";
        } else {
            text += c;
        }
    }
    text += '"';
}

/// Paths that exist; all others, which strangers invent, are one.
std::string_view known_path(std::string_view path) {
    static constexpr std::string_view kPaths[] = {"/",
                                                  "/health",
                                                  "/ping",
                                                  "/ready",
                                                  "/metrics",
                                                  "/models",
                                                  "/completions",
                                                  "/chat/completions",
                                                  "/messages",
                                                  "/v1/models",
                                                  "/v1/completions",
                                                  "/v1/chat/completions",
                                                  "/v1/messages",
                                                  "/v1/messages/count_tokens",
                                                  "/anthropic/v1/messages",
                                                  "/beta/completions",
                                                  "/beta/chat/completions",
                                                  "/tokenize",
                                                  "/detokenize",
                                                  "/tokenizer_info",
                                                  "/v1/hadal/live"};
    return std::ranges::find(kPaths, path) != std::end(kPaths) ? path : "other";
}

/// 1: all experts have the same work.
double most_over_mean(const std::vector<double>& load) {
    const double sum = std::accumulate(load.begin(), load.end(), 0.0);
    return sum > 0 ? *std::ranges::max_element(load) * double(load.size()) / sum : 0;
}

}  // namespace

void Histogram::add(double value) {
    const auto found = std::ranges::lower_bound(bounds_, value);
    if (found != bounds_.end()) ++counts_[size_t(found - bounds_.begin())];
    ++count_;
    sum_ += value;
}

int64_t Histogram::at_most(size_t i) const {
    return std::accumulate(counts_.begin(), counts_.begin() + ptrdiff_t(i) + 1, int64_t(0));
}

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
    if (family_ == name) return;
    family_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help);
    text_.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void MetricsText::sample(std::string_view name, double value, const Labels& labels) {
    text_ += name;
    text_ += '{';
    bool first = true;
    const auto append = [&](const Labels& some) {
        for (const auto& [label, label_value] : some) {
            if (!std::exchange(first, false)) text_ += ',';
            append_label(text_, label, label_value);
        }
    };
    append(common_);
    append(labels);
    text_.append("} ").append(number(value)).append("\n");
}

void MetricsText::counter(std::string_view name, std::string_view help, double value,
                          const Labels& labels) {
    family(name, "counter", help);
    sample(name, value, labels);
}

void MetricsText::gauge(std::string_view name, std::string_view help, double value,
                        const Labels& labels) {
    family(name, "gauge", help);
    sample(name, value, labels);
}

void MetricsText::histogram(std::string_view name, std::string_view help,
                            const Histogram& histogram) {
    family(name, "histogram", help);
    const std::string bucket = std::string(name) + "_bucket";
    for (size_t i = 0; i < histogram.bounds().size(); ++i) {
        sample(bucket, double(histogram.at_most(i)), {{"le", number(histogram.bounds()[i])}});
    }
    sample(bucket, double(histogram.count()), {{"le", "+Inf"}});
    sample(std::string(name) + "_sum", histogram.sum(), {});
    sample(std::string(name) + "_count", double(histogram.count()), {});
}

Metrics::Metrics(std::string model_name)
    : model_name_(std::move(model_name)),
      started_(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
                   .count()),
      first_token_(kFirstTokenBounds),
      between_tokens_(kTokenBounds),
      per_token_(kTokenBounds),
      whole_(kRequestBounds),
      queue_(kRequestBounds),
      prefill_(kRequestBounds),
      decode_(kRequestBounds),
      inference_(kRequestBounds),
      prompt_tokens_(kLengthBounds),
      generated_tokens_(kLengthBounds),
      step_tokens_(kStepBounds),
      asked_texts_(kChoiceBounds),
      asked_tokens_(kLengthBounds) {}

void Metrics::asked(int64_t texts, int64_t max_tokens) {
    const std::lock_guard lock(mutex_);
    asked_texts_.add(double(texts));
    asked_tokens_.add(double(max_tokens));
}

void Metrics::first_token(double seconds) {
    const std::lock_guard lock(mutex_);
    first_token_.add(seconds);
}

void Metrics::token(double seconds) {
    const std::lock_guard lock(mutex_);
    between_tokens_.add(seconds);
}

void Metrics::step(int64_t tokens) {
    const std::lock_guard lock(mutex_);
    step_tokens_.add(double(tokens));
}

void Metrics::ended(const infer::RequestResult& result) {
    const std::lock_guard lock(mutex_);
    ++ended_[finish_reason(result.finish_reason)];
    if (result.finish_reason != infer::FinishReason::stop &&
        result.finish_reason != infer::FinishReason::length) {
        return;  // the times of what was broken off say nothing
    }
    const double inference = result.prefill_seconds + result.decode_seconds;
    queue_.add(result.queue_seconds);
    prefill_.add(result.prefill_seconds);
    decode_.add(result.decode_seconds);
    inference_.add(inference);
    whole_.add(result.queue_seconds + inference);
    if (result.tokens.size() > 1) {
        per_token_.add(result.decode_seconds / double(result.tokens.size() - 1));
    }
    prompt_tokens_.add(double(result.prompt_tokens));
    generated_tokens_.add(double(result.tokens.size()));
}

void Metrics::answered(std::string_view path, int status) {
    const std::lock_guard lock(mutex_);
    ++answered_[{std::string(known_path(path)), std::to_string(status)}];
}

std::string Metrics::text(const Present& present) const {
    MetricsText text({{"model_name", model_name_}, {"engine", "0"}});
    write_engine(text, present);
    {
        const std::lock_guard lock(mutex_);
        write_requests(text);
    }
    text.gauge("hadal:open_requests", "Requests that are being answered",
               double(present.open_requests));
    for (size_t i = 0; i < present.expert_load.size(); ++i) {
        text.gauge("hadal:expert_load_max_over_mean",
                   "Work of a layer's busiest expert lately, over the mean of its experts",
                   most_over_mean(present.expert_load[i]),
                   {{"layer", std::to_string(present.first_expert_layer + int64_t(i))}});
    }
    text.gauge("process_start_time_seconds", "Since 1970", started_);
    return text.text();
}

void Metrics::write_engine(MetricsText& text, const Present& present) const {
    const infer::EngineStats& engine = present.engine;
    text.gauge("vllm:num_requests_running", "Texts in the engine's batch", double(engine.running));
    text.gauge("vllm:num_requests_waiting", "Texts that wait for their turn",
               double(engine.waiting));
    const int64_t used = engine.pages - engine.free_pages - engine.idle_pages;
    text.gauge("vllm:kv_cache_usage_perc", "Share of the cache in use, 0 to 1",
               double(used) / double(std::max<int64_t>(engine.pages, 1)));
    text.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the cache",
                 double(engine.prompt_tokens));
    text.counter("vllm:prefix_cache_hits_total", "Of them found there",
                 double(engine.reused_tokens));
    text.counter("vllm:prompt_tokens_total", "Tokens of prompts", double(engine.prompt_tokens));
    text.counter("vllm:generation_tokens_total", "Tokens generated",
                 double(engine.generated_tokens));
    text.counter("vllm:num_preemptions_total", "Texts that lost their pages and began again",
                 double(engine.preemptions));
    text.counter("vllm:spec_decode_num_draft_tokens_total", "Tokens guessed",
                 double(engine.draft_tokens));
    text.counter("vllm:spec_decode_num_accepted_tokens_total", "Of them right",
                 double(engine.accepted_tokens));
    text.counter("hadal:engine_steps_total", "Steps of the engine", double(engine.steps));
    text.counter("hadal:engine_step_tokens_total", "Rows computed in them",
                 double(engine.step_tokens));
}

/// With the lock held.
void Metrics::write_requests(MetricsText& text) const {
    for (const auto& [how, count] : ended_) {
        text.counter("vllm:request_success_total", "Texts that ended, by how", double(count),
                     {{"finished_reason", how}});
    }
    text.histogram("vllm:time_to_first_token_seconds", "From submission", first_token_);
    text.histogram("vllm:inter_token_latency_seconds", "Between two tokens of a text",
                   between_tokens_);
    text.histogram("vllm:request_time_per_output_token_seconds",
                   "Mean time between a text's tokens", per_token_);
    text.histogram("vllm:e2e_request_latency_seconds", "From submission to the last token", whole_);
    text.histogram("vllm:request_queue_time_seconds", "From submission to the first step", queue_);
    text.histogram("vllm:request_prefill_time_seconds", "From there to the first token", prefill_);
    text.histogram("vllm:request_decode_time_seconds", "From there to the last", decode_);
    text.histogram("vllm:request_inference_time_seconds", "Both of them", inference_);
    text.histogram("vllm:request_prompt_tokens", "Tokens of a prompt", prompt_tokens_);
    text.histogram("vllm:request_generation_tokens", "Tokens of a text", generated_tokens_);
    text.histogram("vllm:request_params_n", "Texts that a request asks for", asked_texts_);
    text.histogram("vllm:request_params_max_tokens", "Tokens of a text at most", asked_tokens_);
    text.histogram("vllm:iteration_tokens_total", "Rows computed in a step", step_tokens_);
    for (const auto& [key, count] : answered_) {
        text.counter("http_requests_total", "Requests answered", double(count),
                     {{"handler", key.first}, {"status", key.second}});
    }
}

}  // namespace hadal::serve
