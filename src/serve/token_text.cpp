#include "serve/token_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

bool is_known(const text::Tokenizer& tokenizer, int32_t id) {
    return id >= 0 && id < tokenizer.vocab_size();
}

Json bytes_of(const text::Tokenizer& tokenizer, int32_t id) {
    Json bytes = Json::array();
    if (!is_known(tokenizer, id)) return bytes;
    for (const char c : tokenizer.token_bytes(id)) bytes.push_back(uint8_t(c));
    return bytes;
}

Json entry(const text::Tokenizer& tokenizer, infer::TokenLogprob token) {
    return {{"token", token_text(tokenizer, token.id)},
            {"logprob", json_logprob(token.logprob)},
            {"bytes", bytes_of(tokenizer, token.id)}};
}

int64_t characters(const std::string& text) {
    return std::ranges::count_if(text, [](char c) { return (uint8_t(c) & 0xC0) != 0x80; });
}

Json empty_arrays() {
    return {{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"text_offset", Json::array()}};
}

}  // namespace

std::string token_text(const text::Tokenizer& tokenizer, int32_t id) {
    text::Detokenizer alone(tokenizer, /*skip_special=*/false);
    if (id < 0) return "";
    std::string text = alone.push(id);
    return text + alone.finish();
}

double json_logprob(float logprob) {
    return std::max(double(logprob), -9999.0);
}

Json chat_logprob(const text::Tokenizer& tokenizer, infer::TokenLogprob token,
                  std::span<const infer::TokenLogprob> top) {
    Json result = entry(tokenizer, token);
    Json& alternatives = result["top_logprobs"] = Json::array();
    for (const infer::TokenLogprob& other : top) alternatives.push_back(entry(tokenizer, other));
    return result;
}

LegacyLogprobs::LegacyLogprobs(const text::Tokenizer& tokenizer, int64_t count)
    : tokenizer_(tokenizer),
      count_(count),
      detokenizer_(tokenizer),
      arrays_(std::make_unique<Json>(empty_arrays())) {}

LegacyLogprobs::~LegacyLogprobs() = default;
LegacyLogprobs::LegacyLogprobs(LegacyLogprobs&&) noexcept = default;

void LegacyLogprobs::append(int32_t id, Json logprob, Json top) {
    Json& arrays = *arrays_;
    arrays["tokens"].push_back(token_text(tokenizer_, id));
    arrays["token_logprobs"].push_back(std::move(logprob));
    arrays["top_logprobs"].push_back(std::move(top));
    arrays["text_offset"].push_back(offset_);
    offset_ += characters(detokenizer_.push(id));
}

void LegacyLogprobs::add_first(int32_t id) {
    append(id, nullptr, nullptr);
}

/// The token itself is always among the alternatives, with the very same number: clients tell by
/// that whether it was the most probable one. Of two tokens that read alike the better one stays.
void LegacyLogprobs::add(infer::TokenLogprob token, std::span<const infer::TokenLogprob> top) {
    const double logprob = json_logprob(token.logprob);
    if (count_ == 0) return append(token.id, logprob, nullptr);
    Json alternatives = Json::object();
    const auto offer = [&](const infer::TokenLogprob& other) {
        const std::string text = token_text(tokenizer_, other.id);
        const double value = json_logprob(other.logprob);
        const auto found = alternatives.find(text);
        if (found == alternatives.end()) {
            alternatives[text] = value;
        } else if (found->get<double>() < value) {
            *found = value;
        }
    };
    for (const infer::TokenLogprob& other : top) offer(other);
    offer(token);
    append(token.id, logprob, std::move(alternatives));
}

bool LegacyLogprobs::empty() const {
    return (*arrays_)["tokens"].empty();
}

Json LegacyLogprobs::take() {
    return std::exchange(*arrays_, empty_arrays());
}

}  // namespace hadal::serve
