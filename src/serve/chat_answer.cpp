#include "serve/chat_answer.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "serve/token_text.h"
#include "serve/usage.h"

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

class ChatAnswer : public Answer {
  public:
    ChatAnswer(AnswerHead head, const ChatRequest& request, const text::Tokenizer& tokenizer)
        : head_(std::move(head)),
          tokenizer_(tokenizer),
          logprobs_(request.logprobs),
          choices_(size_t(request.n)) {}

    std::string piece(size_t index, const Piece& piece) override;
    std::string finished(size_t index, const infer::RequestResult& result) override;
    std::string end() override;

  private:
    struct Choice {
        Json message = {{"role", "assistant"}, {"content", ""}};
        Json logprobs = Json::array();  // not yet sent
        bool begun = false;
        std::string finish_reason = {};
    };

    Json body() const;
    Json take_logprobs(Choice& choice) const;
    std::string chunk(size_t index, Json delta);

    AnswerHead head_;
    const text::Tokenizer& tokenizer_;
    bool logprobs_;
    std::vector<Choice> choices_;
    Usage usage_;
};

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

std::string ChatAnswer::chunk(size_t index, Json delta) {
    Choice& choice = choices_[index];
    const auto& reason = choice.finish_reason;
    Json json = body();
    json["choices"] = Json::array({{{"index", index},
                                    {"delta", std::move(delta)},
                                    {"logprobs", take_logprobs(choice)},
                                    {"finish_reason", reason.empty() ? Json() : Json(reason)}}});
    if (head_.include_usage) json["usage"] = nullptr;
    return event(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string ChatAnswer::piece(size_t index, const Piece& piece) {
    Choice& choice = choices_[index];
    std::string out;
    if (head_.stream && !std::exchange(choice.begun, true)) {
        out = chunk(index, {{"role", "assistant"}, {"content", ""}});
    }
    if (logprobs_ && piece.id >= 0) {
        choice.logprobs.push_back(chat_logprob(tokenizer_, {piece.id, piece.logprob}, piece.top));
    }
    choice.message["content"].get_ref<std::string&>() += piece.text;
    if (!head_.stream || (piece.text.empty() && choice.logprobs.empty())) return out;
    return out + chunk(index, {{"content", piece.text}});
}

std::string ChatAnswer::finished(size_t index, const infer::RequestResult& result) {
    Choice& choice = choices_[index];
    usage_.add(result, index == 0);
    choice.finish_reason = finish_reason(result.finish_reason);
    return head_.stream ? chunk(index, Json::object()) : "";
}

std::string ChatAnswer::end() {
    Json json = body();
    Json& choices = json["choices"] = Json::array();
    for (size_t i = 0; !head_.stream && i < choices_.size(); ++i) {
        Choice& choice = choices_[i];
        choices.push_back({{"index", i},
                           {"message", std::move(choice.message)},
                           {"logprobs", take_logprobs(choice)},
                           {"finish_reason", choice.finish_reason}});
    }
    json["usage"] = usage_.json();
    const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!head_.stream) return text;
    return (head_.include_usage ? event(text) : "") + event("[DONE]");
}

}  // namespace

std::unique_ptr<Answer> chat_answer(AnswerHead head, const ChatRequest& request,
                                    const text::Tokenizer& tokenizer) {
    return std::make_unique<ChatAnswer>(std::move(head), request, tokenizer);
}

}  // namespace hadal::serve
