#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"
#include "serve/text_fields.h"

namespace hadal::serve {

namespace {

using nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr size_t kMostNameBytes = 256;

/// A text, or a list of parts of text joined; null stays null.
Ordered content_of(const JsonFields& message) {
    const json* content = message.find("content");
    const std::string path = message.path("content");
    if (content == nullptr) return {};
    if (content->is_string()) return content->get<std::string>();
    if (!content->is_array()) {
        throw ApiError::field(path, concat("'", path, "' must be a string or an array of parts"));
    }
    std::string text;
    for (size_t i = 0; i < content->size(); ++i) {
        const JsonFields part((*content)[i], concat(path, "[", i, "]"));
        const std::string type = part.text("type", kMostNameBytes).value_or("");
        const auto piece = part.text("text", std::string::npos - 1);
        if ((type != "text" && type != "input_text" && type != "output_text") || !piece) {
            throw ApiError::field(part.path("type"),
                                  "only parts of type text can be read: this "
                                  "model takes no images, audio or files");
        }
        text += *piece;
    }
    return text;
}

/// Arguments are JSON in a string; clients that send the object itself are understood.
Ordered tool_calls_of(const JsonFields& message) {
    const json* calls = message.array("tool_calls", 1024);
    if (calls == nullptr) return {};
    Ordered result = Ordered::array();
    for (size_t i = 0; i < calls->size(); ++i) {
        const JsonFields call((*calls)[i], concat(message.path("tool_calls"), "[", i, "]"));
        const auto function = call.object("function");
        if (!function || !function->has("name")) {
            throw ApiError::field(call.path("function.name"), "a tool call must name its function");
        }
        const json* given = function->find("arguments");
        std::string arguments = "{}";
        if (given != nullptr) {
            arguments = given->is_string() ? given->get<std::string>() : given->dump();
        }
        result.push_back(
            {{"id", call.text("id", kMostNameBytes).value_or("")},
             {"type", "function"},
             {"function",
              {{"name", *function->text("name", kMostNameBytes)}, {"arguments", arguments}}}});
    }
    return result;
}

Ordered message_of(const JsonFields& fields) {
    static constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user",
                                                               "assistant", "tool"};
    std::string role = fields.text("role", kMostNameBytes).value_or("");
    if (std::ranges::find(kRoles, role) == kRoles.end()) {
        throw ApiError::field(fields.path("role"),
                              concat("'", fields.path("role"),
                                     "' must be system, developer, user, assistant or tool"));
    }
    if (role == "developer") role = "system";  // OpenAI's newer name for it
    Ordered message = {{"role", role}, {"content", content_of(fields)}};
    if (const auto name = fields.text("name", kMostNameBytes)) message["name"] = *name;
    if (role == "tool") {
        message["tool_call_id"] = fields.text("tool_call_id", kMostNameBytes).value_or("");
    }
    if (role == "assistant") {
        Ordered calls = tool_calls_of(fields);
        if (!calls.empty()) message["tool_calls"] = std::move(calls);
        for (const std::string_view key : {"reasoning_content", "reasoning"}) {
            const auto reasoning = fields.text(key, std::string::npos - 1);
            if (reasoning) message["reasoning_content"] = *reasoning;
        }
    } else if (message["content"].is_null()) {
        throw ApiError::field(fields.path("content"),
                              concat("'", fields.path("content"), "' is missing"));
    }
    return message;
}

void read_messages(const JsonFields& fields, const RequestLimits& limits, ChatRequest& request) {
    const json* given = fields.array("messages", size_t(limits.messages));
    if (given == nullptr || given->empty()) {
        throw ApiError::field("messages", "'messages' must hold at least one message");
    }
    request.continue_last = fields.boolean("continue_final_message").value_or(false);
    const bool asks = fields.boolean("add_generation_prompt").value_or(!request.continue_last);
    Ordered messages = Ordered::array();
    for (size_t i = 0; i < given->size(); ++i) {
        const JsonFields message((*given)[i], concat("messages[", i, "]"));
        messages.push_back(message_of(message));
        if (!message.boolean("prefix").value_or(false)) continue;
        if (i + 1 < given->size() || messages.back()["role"] != "assistant") {
            throw ApiError::field(message.path("prefix"),
                                  "only a last message of the assistant can be a prefix");
        }
        request.continue_last = true;
    }
    const Ordered& last = messages.back();
    if (request.continue_last && (last["role"] != "assistant" || last["content"].is_null())) {
        throw ApiError::field("continue_final_message",
                              "only a last message of the assistant with a text can be continued");
    }
    if (request.continue_last && fields.has("add_generation_prompt") && asks) {
        throw ApiError::field("add_generation_prompt",
                              "a message that is continued needs no generation prompt");
    }
    request.messages = std::make_shared<const Ordered>(std::move(messages));
}

void check_tool(const JsonFields& tool, std::set<std::string>& names) {
    const auto function = tool.object("function");
    if (tool.text("type", kMostNameBytes).value_or("function") != "function" || !function) {
        throw ApiError::field(tool.path("type"), "a tool must be of type function");
    }
    const std::string name = function->text("name", 64).value_or("");
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    };
    if (name.empty() || !std::ranges::all_of(name, is_plain)) {
        throw ApiError::field(function->path("name"),
                              "a function's name is 1 to 64 letters, digits, _, - or .");
    }
    if (!names.insert(name).second) {
        throw ApiError::field(function->path("name"), "two functions have the same name");
    }
    function->text("description", std::string::npos - 1);
    function->object("parameters");
    function->boolean("strict");
}

ToolChoice tool_choice_of(const JsonFields& fields, const std::set<std::string>& names) {
    using Kind = ToolChoice::Kind;
    const json* choice = fields.find("tool_choice");
    if (choice == nullptr) return {names.empty() ? Kind::none : Kind::automatic};
    const auto refuse = [](std::string_view message) {
        throw ApiError::field("tool_choice", std::string(message));
    };
    if (choice->is_object()) {
        const auto function = fields.object("tool_choice")->object("function");
        const std::string name = function ? function->text("name", 64).value_or("") : "";
        if (!names.contains(name)) refuse("'tool_choice' names a function that 'tools' has not");
        return {Kind::named, name};
    }
    if (*choice == "none") return {Kind::none};
    if (*choice == "auto") return {names.empty() ? Kind::none : Kind::automatic};
    if (*choice != "required") {
        refuse("'tool_choice' must be none, auto, required or an object that names a function");
    }
    if (names.empty()) refuse("'tool_choice' is required, but there are no tools");
    return {Kind::required};
}

void read_tools(const JsonFields& fields, const RequestLimits& limits, ChatRequest& request) {
    std::set<std::string> names;
    const json* tools = fields.array("tools", size_t(limits.tools));
    if (tools != nullptr) {
        for (size_t i = 0; i < tools->size(); ++i) {
            check_tool(JsonFields((*tools)[i], concat("tools[", i, "]")), names);
        }
        if (!tools->empty())
            request.tools = fields.ordered_array("tools", size_t(limits.tool_bytes));
    }
    request.tool_choice = tool_choice_of(fields, names);
    request.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
}

/// The switch has several spellings; the most specific is DeepSeek's own.
std::optional<bool> thinking_of(const JsonFields& fields) {
    if (const auto thinking = fields.object("thinking")) {
        const std::string type = thinking->text("type", kMostNameBytes).value_or("");
        if (type == "enabled") return true;
        if (type == "disabled") return false;
        throw ApiError::field("thinking.type", "'thinking.type' must be enabled or disabled");
    }
    if (const auto options = fields.object("chat_template_kwargs")) {
        for (const std::string_view name : {"thinking", "enable_thinking"}) {
            if (const auto wanted = options->boolean(name)) return wanted;
        }
    }
    if (const auto effort = fields.text("reasoning_effort", kMostNameBytes)) {
        return *effort != "none";  // OpenAI's scale: here a model thinks or does not
    }
    return fields.boolean("enable_thinking");
}

}  // namespace

ChatRequest parse_chat_request(std::string_view body, const RequestLimits& limits) {
    const json parsed = parse_body(body);
    const JsonFields fields(parsed, "", body);
    if (fields.has("chat_template")) {
        throw ApiError::field("chat_template", "a template may not come with a request");
    }
    ChatRequest request;
    read_text_fields(fields, limits, std::nullopt, request);
    if (request.max_tokens == 0) {
        throw ApiError::field("max_tokens", "'max_tokens' must be at least 1");
    }
    request.logprobs = fields.boolean("logprobs").value_or(false);
    if (const auto top = fields.integer("top_logprobs", 0, 20)) {
        if (!request.logprobs && *top > 0) {
            throw ApiError::field("top_logprobs", "'top_logprobs' needs 'logprobs': true");
        }
        request.top_logprobs = *top;
    }
    read_messages(fields, limits, request);
    read_tools(fields, limits, request);
    request.thinking = thinking_of(fields);
    constexpr int64_t kMost = int64_t(1) << 31;
    request.most_thought_tokens = fields.integer("thinking_token_budget", 1, kMost);
    if (const auto thinking = fields.object("thinking"); thinking && request.thinking == true) {
        if (const auto most = thinking->integer("budget_tokens", 1, kMost)) {
            request.most_thought_tokens = most;
        }
    }
    return request;
}

}  // namespace hadal::serve
