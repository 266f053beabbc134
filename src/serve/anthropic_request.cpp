#include "serve/anthropic_request.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"

namespace hadal::serve {

namespace {

using nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr size_t kMostNameBytes = 256;
constexpr size_t kAnyBytes = std::string::npos - 1;
constexpr size_t kMostBlocks = 4096;

[[noreturn]] void refuse_block(const JsonFields& block) {
    throw ApiError::field(block.path("type"), concat("'", block.path("type"),
                                                     "' is not understood: this model reads text, "
                                                     "tool_use, tool_result and thinking"));
}

/// A text, or blocks of text joined.
std::string text_of(const JsonFields& fields, std::string_view name) {
    const json* content = fields.find(name);
    if (content == nullptr) return "";
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    const json& blocks = *fields.array(name, kMostBlocks);
    for (size_t i = 0; i < blocks.size(); ++i) {
        const JsonFields block(blocks[i], concat(fields.path(name), "[", i, "]"));
        if (block.text("type", kMostNameBytes) != "text") refuse_block(block);
        text += block.text("text", kAnyBytes).value_or("");
    }
    return text;
}

/// One block of a message. Results of tools are messages of their own in a chat, and come first.
void add_block(const JsonFields& block, Ordered& message, Ordered& before) {
    const std::string type = block.text("type", kMostNameBytes).value_or("");
    if (type == "text") {
        auto& content = message["content"].get_ref<std::string&>();
        content += block.text("text", kAnyBytes).value_or("");
    } else if (type == "thinking") {
        message["reasoning_content"] = block.text("thinking", kAnyBytes).value_or("");
    } else if (type == "tool_use") {
        const json* input = block.find("input");
        const Ordered function = {{"name", block.text("name", kMostNameBytes).value_or("")},
                                  {"arguments", input == nullptr ? "{}" : input->dump()}};
        message["tool_calls"].push_back({{"id", block.text("id", kMostNameBytes).value_or("")},
                                         {"type", "function"},
                                         {"function", function}});
    } else if (type == "tool_result") {
        before.push_back({{"role", "tool"},
                          {"tool_call_id", block.text("tool_use_id", kMostNameBytes).value_or("")},
                          {"content", text_of(block, "content")}});
    } else if (type != "redacted_thinking") {
        refuse_block(block);
    }
}

void add_message(const JsonFields& fields, Ordered& messages) {
    const std::string role = fields.text("role", kMostNameBytes).value_or("");
    if (role != "user" && role != "assistant") {
        throw ApiError::field(fields.path("role"),
                              concat("'", fields.path("role"), "' must be user or assistant"));
    }
    const json* content = fields.find("content");
    if (content == nullptr) {
        throw ApiError::field(fields.path("content"),
                              concat("'", fields.path("content"), "' is missing"));
    }
    Ordered message = {{"role", role}, {"content", ""}};
    if (content->is_string()) {
        message["content"] = content->get<std::string>();
    } else {
        const json& blocks = *fields.array("content", kMostBlocks);
        for (size_t i = 0; i < blocks.size(); ++i) {
            add_block(JsonFields(blocks[i], concat(fields.path("content"), "[", i, "]")), message,
                      messages);
        }
    }
    const bool is_empty = message["content"] == "";
    if (message.contains("tool_calls") && is_empty) message["content"] = nullptr;
    // A turn that held nothing but results of tools is told by them.
    if (role == "user" && is_empty && !messages.empty() && messages.back()["role"] == "tool")
        return;
    messages.push_back(std::move(message));
}

Ordered chat_messages(const JsonFields& fields, const RequestLimits& limits) {
    const json* given = fields.array("messages", size_t(limits.messages));
    if (given == nullptr || given->empty()) {
        throw ApiError::field("messages", "'messages' must hold at least one message");
    }
    Ordered messages = Ordered::array();
    const std::string system = text_of(fields, "system");
    if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
    for (size_t i = 0; i < given->size(); ++i) {
        add_message(JsonFields((*given)[i], concat("messages[", i, "]")), messages);
    }
    // The beginning of an answer that the model is to go on with.
    if (messages.back()["role"] == "assistant" && messages.back()["content"].is_string()) {
        messages.back()["prefix"] = true;
    }
    return messages;
}

Ordered chat_tools(const JsonFields& fields, const RequestLimits& limits) {
    Ordered tools = Ordered::array();
    if (fields.array("tools", size_t(limits.tools)) == nullptr) return tools;
    const auto given = fields.ordered_array("tools", size_t(limits.tool_bytes));
    for (const Ordered& tool : *given) {
        const bool ours = tool.is_object() && tool.contains("name") &&
                          (!tool.contains("type") || tool["type"] == "custom");
        if (!ours) {
            throw ApiError::field("tools", "only tools with a name and an input_schema are known");
        }
        Ordered function = {{"name", tool["name"]}};
        if (tool.contains("description")) function["description"] = tool["description"];
        if (tool.contains("input_schema")) function["parameters"] = tool["input_schema"];
        tools.push_back({{"type", "function"}, {"function", function}});
    }
    return tools;
}

void add_tool_choice(const JsonFields& fields, Ordered& chat) {
    const auto choice = fields.object("tool_choice");
    if (!choice) return;
    const std::string type = choice->text("type", kMostNameBytes).value_or("");
    if (type == "tool") {
        const std::string name = choice->text("name", kMostNameBytes).value_or("");
        chat["tool_choice"] = {{"type", "function"}, {"function", {{"name", name}}}};
    } else if (type == "any") {
        chat["tool_choice"] = "required";
    } else if (type == "auto" || type == "none") {
        chat["tool_choice"] = type;
    } else {
        throw ApiError::field("tool_choice.type",
                              "'tool_choice.type' must be auto, any, tool or none");
    }
    chat["parallel_tool_calls"] = !choice->boolean("disable_parallel_tool_use").value_or(false);
}

}  // namespace

ChatRequest parse_messages_request(std::string_view body, const RequestLimits& limits) {
    const json parsed = parse_body(body);
    const JsonFields fields(parsed, "", body);
    Ordered chat = {{"messages", chat_messages(fields, limits)}};
    if (Ordered tools = chat_tools(fields, limits); !tools.empty())
        chat["tools"] = std::move(tools);
    add_tool_choice(fields, chat);
    for (const char* name : {"max_tokens", "temperature", "top_p", "top_k", "stream"}) {
        if (const json* value = fields.find(name)) chat[name] = *value;
    }
    const auto stops =
        fields.texts("stop_sequences", size_t(limits.stops), size_t(limits.stop_bytes));
    if (!stops.empty()) chat["stop"] = stops;
    if (const auto thinking = fields.object("thinking")) {
        const bool off = thinking->text("type", kMostNameBytes) == "disabled";
        chat["thinking"] = {{"type", off ? "disabled" : "enabled"}};
        if (const json* budget = thinking->find("budget_tokens"); budget != nullptr && !off) {
            chat["thinking"]["budget_tokens"] = *budget;
        }
    }
    return parse_chat_request(chat.dump(), limits);
}

std::string messages_model(std::string_view body) {
    const json parsed = parse_body(body);
    return JsonFields(parsed).text("model", kMostNameBytes).value_or("");
}

}  // namespace hadal::serve
