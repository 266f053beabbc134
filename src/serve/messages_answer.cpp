#include "serve/messages_answer.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "serve/usage.h"

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Named after the type that is in it.
std::string named_event(const Json& json) {
    return "event: " + json.at("type").get<std::string>() + "\n" + event(dump(json));
}

/// What the model wrote may be no object: cut off by the limit of tokens, or too deep.
Json input_of(const ToolCall& call) {
    try {
        const nlohmann::json input = parse_json(call.arguments, "arguments");
        return input.is_object() ? Json(input) : Json::object();
    } catch (const Error&) {
        return Json::object();
    }
}

class MessagesAnswer : public Answer {
  public:
    MessagesAnswer(AnswerHead head, Reply reply, int64_t prompt_tokens)
        : head_(std::move(head)), reply_(std::move(reply)), prompt_tokens_(prompt_tokens) {}

    std::string piece(size_t, const Piece& piece) override {
        return take(reply_.read(piece));
    }
    std::string finished(size_t, const TextEnd& end) override;
    std::string end() override;
    std::string error(const ApiError& error) const override {
        return messages_error(error);
    }
    std::string failure(const ApiError& error) const override {
        return "event: error\n" + event(messages_error(error));
    }

  private:
    using Kind = chat::Delta::Kind;

    Json message(Json content) const;
    std::string take(const std::vector<chat::Delta>& deltas);
    std::string begin();
    std::string open_block(const chat::Delta& delta);
    std::string close_block();

    AnswerHead head_;
    Reply reply_;
    int64_t prompt_tokens_;
    Usage usage_;
    bool begun_ = false;
    int64_t block_ = -1;  // index of the last one
    bool block_is_open_ = false;
    Kind block_kind_ = Kind::content;
    std::string stop_reason_, stop_;
};

Json MessagesAnswer::message(Json content) const {
    return {{"id", head_.id},
            {"type", "message"},
            {"role", "assistant"},
            {"model", head_.model},
            {"content", std::move(content)},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
}

std::string MessagesAnswer::begin() {
    if (std::exchange(begun_, true)) return "";
    Json started = message(Json::array());
    started["usage"] = {{"input_tokens", prompt_tokens_}, {"output_tokens", 0}};
    return named_event({{"type", "message_start"}, {"message", started}});
}

std::string MessagesAnswer::close_block() {
    if (!std::exchange(block_is_open_, false)) return "";
    return named_event({{"type", "content_block_stop"}, {"index", block_}});
}

std::string MessagesAnswer::open_block(const chat::Delta& delta) {
    const Kind kind = delta.kind == Kind::call_arguments ? Kind::call_begins : delta.kind;
    if (block_is_open_ && kind == block_kind_ && delta.kind != Kind::call_begins) return "";
    std::string out = close_block();
    block_is_open_ = true;
    block_kind_ = kind;
    ++block_;
    Json block = {{"type", "text"}, {"text", ""}};
    if (kind == Kind::reasoning) block = {{"type", "thinking"}, {"thinking", ""}};
    if (kind == Kind::call_begins) {
        block = {{"type", "tool_use"},
                 {"id", delta.id},
                 {"name", delta.name},
                 {"input", Json::object()}};
    }
    return out +
           named_event(
               {{"type", "content_block_start"}, {"index", block_}, {"content_block", block}});
}

std::string MessagesAnswer::take(const std::vector<chat::Delta>& deltas) {
    if (!head_.stream) return "";
    std::string out = begin();
    for (const chat::Delta& delta : deltas) {
        out += open_block(delta);
        Json json;
        switch (delta.kind) {
            case Kind::call_begins:
                continue;
            case Kind::reasoning:
                json = {{"type", "thinking_delta"}, {"thinking", delta.text}};
                break;
            case Kind::content:
                json = {{"type", "text_delta"}, {"text", delta.text}};
                break;
            case Kind::call_arguments:
                json = {{"type", "input_json_delta"}, {"partial_json", delta.text}};
                break;
        }
        out += named_event({{"type", "content_block_delta"}, {"index", block_}, {"delta", json}});
    }
    return out;
}

std::string MessagesAnswer::finished(size_t, const TextEnd& end) {
    std::string out = take(reply_.finish());
    usage_.add(end.result, true);
    stop_ = end.stop;
    stop_reason_ = "end_turn";
    if (end.result.finish_reason == infer::FinishReason::length) {
        stop_reason_ = "max_tokens";
    } else if (!stop_.empty()) {
        stop_reason_ = "stop_sequence";
    } else if (!reply_.calls().empty()) {
        stop_reason_ = "tool_use";
    }
    return head_.stream ? out + close_block() : "";
}

std::string MessagesAnswer::end() {
    const Json usage = {{"input_tokens", usage_.prompt_tokens() - usage_.cached_tokens()},
                        {"cache_creation_input_tokens", 0},
                        {"cache_read_input_tokens", usage_.cached_tokens()},
                        {"output_tokens", usage_.completion_tokens()}};
    const Json stop = stop_.empty() ? Json() : Json(stop_);
    if (head_.stream) {
        const Json delta = {{"stop_reason", stop_reason_}, {"stop_sequence", stop}};
        return named_event({{"type", "message_delta"}, {"delta", delta}, {"usage", usage}}) +
               named_event({{"type", "message_stop"}});
    }
    Json content = Json::array();
    if (!reply_.reasoning().empty()) {
        content.push_back(
            {{"type", "thinking"}, {"thinking", reply_.reasoning()}, {"signature", ""}});
    }
    if (!reply_.content().empty()) {
        content.push_back({{"type", "text"}, {"text", reply_.content()}});
    }
    for (const ToolCall& call : reply_.calls()) {
        content.push_back({{"type", "tool_use"},
                           {"id", call.id},
                           {"name", call.name},
                           {"input", input_of(call)}});
    }
    Json whole = message(std::move(content));
    whole["stop_reason"] = stop_reason_;
    whole["stop_sequence"] = stop;
    whole["usage"] = usage;
    return dump(whole);
}

}  // namespace

std::unique_ptr<Answer> messages_answer(AnswerHead head, Reply reply, int64_t prompt_tokens) {
    return std::make_unique<MessagesAnswer>(std::move(head), std::move(reply), prompt_tokens);
}

std::string messages_error(const ApiError& error) {
    std::string_view type = "invalid_request_error";
    if (error.status() == 401) type = "authentication_error";
    if (error.status() == 403) type = "permission_error";
    if (error.status() == 404) type = "not_found_error";
    if (error.status() == 413) type = "request_too_large";
    if (error.status() == 429) type = "rate_limit_error";
    if (error.status() >= 500) type = error.status() == 503 ? "overloaded_error" : "api_error";
    if (error.status() == 504) type = "timeout_error";
    return dump({{"type", "error"}, {"error", {{"type", type}, {"message", error.what()}}}});
}

}  // namespace hadal::serve
