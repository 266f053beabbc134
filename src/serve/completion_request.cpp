#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"
#include "serve/text_fields.h"

namespace hadal::serve {

namespace {

using nlohmann::json;

std::vector<int32_t> ids_of(const json& array, const std::string& path) {
    std::vector<int32_t> ids;
    ids.reserve(array.size());
    for (const json& id : array) {
        // Whether it is in the vocabulary is checked by whoever knows that.
        const bool valid = id.is_number_unsigned() && id.get<uint64_t>() < (1U << 31);
        if (!valid) throw ApiError::field(path, concat("'", path, "' must hold token ids"));
        ids.push_back(id.get<int32_t>());
    }
    return ids;
}

/// A text, a list of texts, a list of ids, or a list of lists of ids.
std::vector<Prompt> prompts_of(const JsonFields& fields, int64_t most) {
    const json* prompt = fields.find("prompt");
    if (prompt == nullptr) throw ApiError::field("prompt", "'prompt' is missing");
    if (prompt->is_string()) return {prompt->get<std::string>()};
    if (!prompt->is_array()) {
        throw ApiError::field("prompt",
                              "'prompt' must be a string, or an array of strings, of "
                              "token ids or of arrays of token ids");
    }
    if (prompt->empty()) throw ApiError::field("prompt", "'prompt' is empty");
    if (prompt->front().is_number()) return {ids_of(*prompt, "prompt")};
    if (int64_t(prompt->size()) > most) {
        throw ApiError::field("prompt", concat("'prompt' may hold at most ", most, " prompts"));
    }
    std::vector<Prompt> prompts;
    for (const json& one : *prompt) {
        const std::string path = concat("prompt[", prompts.size(), "]");
        const bool same_kind = one.type() == prompt->front().type();
        if (same_kind && one.is_string()) {
            prompts.emplace_back(one.get<std::string>());
        } else if (same_kind && one.is_array()) {
            prompts.emplace_back(ids_of(one, path));
        } else {
            throw ApiError::field("prompt", concat("'", path,
                                                   "' must be a string or an array of "
                                                   "token ids, as the others"));
        }
    }
    return prompts;
}

void check_together(const CompletionRequest& request, const RequestLimits& limits) {
    if (request.best_of < request.n) {
        throw ApiError::field("best_of", "'best_of' must be at least 'n'");
    }
    if (request.stream && request.best_of > request.n) {
        throw ApiError::field("best_of", "a stream cannot choose the best of several texts");
    }
    if (request.suffix && request.echo) {
        throw ApiError::field("echo", "'echo' cannot be used together with 'suffix'");
    }
    if (int64_t(request.prompts.size()) * request.best_of > limits.choices) {
        throw ApiError::field("n", concat("a request may ask for at most ", limits.choices,
                                          " texts, all prompts' together"));
    }
}

}  // namespace

json parse_body(std::string_view body) {
    try {
        return parse_json(body, "the request's body");
    } catch (const Error& error) {
        throw ApiError(400, error.what());
    }
}

CompletionRequest parse_completion_request(std::string_view body, const RequestLimits& limits) {
    const json parsed = parse_body(body);
    const JsonFields fields(parsed, "", body);
    CompletionRequest request;
    constexpr int64_t kDefaultTokens = 16;  // OpenAI's for this endpoint
    read_text_fields(fields, limits, kDefaultTokens, request);
    request.prompts = prompts_of(fields, limits.choices);
    request.best_of = fields.integer("best_of", 1, limits.choices).value_or(request.n);
    request.echo = fields.boolean("echo").value_or(false);
    request.add_bos = fields.boolean("add_special_tokens").value_or(true);
    if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
        request.logprobs = true;
        request.top_logprobs = *logprobs;
    }
    if (const auto suffix = fields.text("suffix", body.size()); suffix && !suffix->empty()) {
        request.suffix = suffix;
    }
    check_together(request, limits);
    return request;
}

}  // namespace hadal::serve
