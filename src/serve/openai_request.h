// The bodies of OpenAI's completions and chat completions, with DeepSeek's and vLLM's additions,
// read and checked. Knows neither tokenizer nor model; docs/serving.md has the table of fields.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "infer/sampler.h"

namespace hadal::serve {

/// What one request may ask for.
struct RequestLimits {
    int64_t choices = 128;         // texts of one request, all prompts' together
    int64_t max_tokens = 0;        // of a text; 0: as many as the model takes
    int64_t messages = 4096;       // of a conversation
    int64_t tools = 128;           // functions
    int64_t tool_bytes = 1 << 18;  // of all functions
    int64_t stops = 32;            // stop strings
    int64_t stop_bytes = 4096;     // of each
    int64_t logit_biases = 4096;
    int64_t grammar_bytes = 1 << 18;  // of a JSON schema, an expression or a grammar
};

/// What the text must be.
struct TextFormat {
    enum class Kind { any, json_object, json_schema, regex, ebnf };
    Kind kind = Kind::any;
    std::string source = {};  // the schema's JSON, the expression or the grammar
    std::string param = {};   // the field that it came from
};

/// Fields that both kinds of request have.
struct TextRequest {
    std::string model;  // empty: whichever is served
    infer::SamplingOptions sampling = {};
    bool has_seed = false;
    std::optional<int64_t> max_tokens;
    int64_t min_tokens = 0;  // before them no stop token
    int64_t n = 1;
    std::vector<std::string> stops;
    std::vector<int32_t> stop_ids;
    bool ignore_eos = false;
    bool logprobs = false;
    int64_t top_logprobs = 0;
    TextFormat format;
    bool stream = false;
    bool include_usage = false;
    int priority = 0;
    std::string cache_salt;  // prefixes are shared only between requests with the same
};

using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest : TextRequest {
    std::vector<Prompt> prompts;
    int64_t best_of = 1;
    bool echo = false;
    bool add_bos = true;                // of prompts that are texts
    std::optional<std::string> suffix;  // the text after the gap: fill in the middle
};

struct ToolChoice {
    enum class Kind { none, automatic, required, named };
    Kind kind = Kind::none;
    std::string name = {};  // of the one function that may be called
};

struct ChatRequest : TextRequest {
    /// An array of {role, content, …}: contents are texts or null, tool calls as OpenAI has them,
    /// reasoning as reasoning_content.
    std::shared_ptr<const nlohmann::ordered_json> messages;
    std::shared_ptr<const nlohmann::ordered_json> tools;  // an array, or null if there are none
    ToolChoice tool_choice;
    bool parallel_tool_calls = true;
    std::optional<bool> thinking;                // the template's own habit if nothing is said
    std::optional<int64_t> most_thought_tokens;  // then the answer begins
    bool continue_last = false;                  // the last message is the answer's beginning
};

/// ApiError names the field that is wrong. Fields that are not known are passed over.
CompletionRequest parse_completion_request(std::string_view body, const RequestLimits& limits);
ChatRequest parse_chat_request(std::string_view body, const RequestLimits& limits);

/// JSON of a request's body, of bounded depth. ApiError if it is none.
nlohmann::json parse_body(std::string_view body);

}  // namespace hadal::serve
