#include "serve/chat_answer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "serve/token_text.h"
#include "serve/usage.h"

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

class ChatAnswer : public Answer {
  public:
    ChatAnswer(AnswerHead head, const ChatRequest& request, const text::Tokenizer& tokenizer,
               std::vector<Reply> replies)
        : head_(std::move(head)), tokenizer_(tokenizer), logprobs_(request.logprobs) {
        for (Reply& reply : replies) choices_.push_back({.reply = std::move(reply)});
    }

    std::string piece(size_t index, const Piece& piece) override;
    std::string finished(size_t index, const TextEnd& end) override;
    std::string end() override;

  private:
    struct Choice {
        Reply reply;
        Json logprobs = Json::array();  // of tokens that no chunk has shown yet
        bool begun = false;
        std::string finish_reason = {};
    };

    Json body() const;
    Json take_logprobs(Choice& choice) const;
    std::string chunk(size_t index, const Json& delta);
    std::string take(size_t index, const std::vector<chat::Delta>& deltas);
    static Json delta_json(const chat::Delta& delta);
    static Json message_json(const Reply& reply);

    AnswerHead head_;
    const text::Tokenizer& tokenizer_;
    bool logprobs_;
    std::vector<Choice> choices_;
    Usage usage_;
};

Json call_json(const ToolCall& call) {
    return {{"id", call.id},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json ChatAnswer::body() const {
    return {{"id", head_.id},
            {"object", head_.stream ? "chat.completion.chunk" : "chat.completion"},
            {"created", head_.created},
            {"model", head_.model}};
}

Json ChatAnswer::take_logprobs(Choice& choice) const {
    if (!logprobs_) return {};
    return {{"content", std::exchange(choice.logprobs, Json::array())}};
}

std::string ChatAnswer::chunk(size_t index, const Json& delta) {
    Choice& choice = choices_[index];
    const auto& reason = choice.finish_reason;
    Json json = body();
    json["choices"] = Json::array({{{"index", index},
                                    {"delta", delta},
                                    {"logprobs", take_logprobs(choice)},
                                    {"finish_reason", reason.empty() ? Json() : Json(reason)}}});
    if (head_.include_usage) json["usage"] = nullptr;
    return event(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json ChatAnswer::delta_json(const chat::Delta& delta) {
    switch (delta.kind) {
        case chat::Delta::Kind::reasoning:
            return {{"reasoning_content", delta.text}};
        case chat::Delta::Kind::content:
            return {{"content", delta.text}};
        case chat::Delta::Kind::call_begins: {
            // Clients put the parts together by the index; id and name come once.
            Json call = {{"index", delta.call}};
            call.update(call_json({.id = delta.id, .name = delta.name, .arguments = ""}));
            return {{"tool_calls", Json::array({call})}};
        }
        case chat::Delta::Kind::call_arguments:
            break;
    }
    const Json call = {{"index", delta.call}, {"function", {{"arguments", delta.text}}}};
    return {{"tool_calls", Json::array({call})}};
}

std::string ChatAnswer::take(size_t index, const std::vector<chat::Delta>& deltas) {
    Choice& choice = choices_[index];
    std::string out;
    if (head_.stream && !std::exchange(choice.begun, true)) {
        out = chunk(index, {{"role", "assistant"}, {"content", ""}});
    }
    for (const chat::Delta& delta : deltas) {
        if (head_.stream) out += chunk(index, delta_json(delta));
    }
    return out;
}

std::string ChatAnswer::piece(size_t index, const Piece& piece) {
    Choice& choice = choices_[index];
    const std::vector<chat::Delta> deltas = choice.reply.read(piece);
    const bool thinks = !deltas.empty() && deltas.back().kind == chat::Delta::Kind::reasoning;
    if (thinks) usage_.add_reasoning(piece.tokens);
    std::string out = choice.begun ? "" : take(index, {});
    if (logprobs_ && piece.id >= 0) {
        choice.logprobs.push_back(chat_logprob(tokenizer_, {piece.id, piece.logprob}, piece.top));
    }
    out += take(index, deltas);
    // A token whose text is held back is shown nevertheless.
    if (head_.stream && !choice.logprobs.empty()) out += chunk(index, {{"content", ""}});
    return out;
}

std::string ChatAnswer::finished(size_t index, const TextEnd& end) {
    Choice& choice = choices_[index];
    usage_.add(end.result, index == 0);
    std::string out = take(index, choice.reply.finish());
    choice.finish_reason = finish_reason(end.result.finish_reason);
    if (choice.finish_reason == "stop" && !choice.reply.calls().empty()) {
        choice.finish_reason = "tool_calls";
    }
    return head_.stream ? out + chunk(index, Json::object()) : "";
}

Json ChatAnswer::message_json(const Reply& reply) {
    Json message = {{"role", "assistant"}};
    const bool only_calls = reply.content().empty() && !reply.calls().empty();
    message["content"] = only_calls ? Json() : Json(reply.content());
    if (!reply.reasoning().empty()) message["reasoning_content"] = reply.reasoning();
    // An empty list would be taken for "functions were called" by some clients.
    for (const ToolCall& call : reply.calls()) message["tool_calls"].push_back(call_json(call));
    return message;
}

std::string ChatAnswer::end() {
    Json json = body();
    Json& choices = json["choices"] = Json::array();
    for (size_t i = 0; !head_.stream && i < choices_.size(); ++i) {
        choices.push_back({{"index", i},
                           {"message", message_json(choices_[i].reply)},
                           {"logprobs", take_logprobs(choices_[i])},
                           {"finish_reason", choices_[i].finish_reason}});
    }
    json["usage"] = usage_.json();
    const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!head_.stream) return text;
    return (head_.include_usage ? event(text) : "") + event("[DONE]");
}

}  // namespace

std::unique_ptr<Answer> chat_answer(AnswerHead head, const ChatRequest& request,
                                    const text::Tokenizer& tokenizer, std::vector<Reply> replies) {
    return std::make_unique<ChatAnswer>(std::move(head), request, tokenizer, std::move(replies));
}

}  // namespace hadal::serve
