#include "serve/completion_answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "serve/token_text.h"
#include "serve/usage.h"

namespace hadal::serve {

namespace {

using Json = nlohmann::ordered_json;

class CompletionAnswer : public Answer {
  public:
    CompletionAnswer(AnswerHead head, const CompletionRequest& request,
                     const text::Tokenizer& tokenizer, std::vector<std::vector<int32_t>> prompts,
                     const std::vector<std::string>& echoes);

    std::string piece(size_t index, const Piece& piece) override;
    std::string finished(size_t index, const TextEnd& end) override;
    std::string end() override;

  private:
    struct Choice {
        std::string text;  // not yet sent
        LegacyLogprobs logprobs;
        std::vector<Piece> held = {};  // until the prompt before them is scored
        double logprob_sum = 0;
        int64_t tokens = 0;
        std::string finish_reason = {};

        double mean_logprob() const {
            return tokens == 0 ? 0 : logprob_sum / double(tokens);
        }
    };

    void add(Choice& choice, const Piece& piece) const;
    void score_prompt(Choice& choice, const std::vector<int32_t>& prompt,
                      const infer::RequestResult& result) const;
    std::vector<size_t> best_choices() const;
    Json body() const;
    Json choice_json(size_t index, Choice& choice) const;
    std::string chunk(size_t index);

    AnswerHead head_;
    bool logprobs_;
    bool scores_prompt_;  // whose log-probabilities are known only when a text is finished
    size_t n_, best_of_;
    std::vector<std::vector<int32_t>> prompts_;
    std::vector<Choice> choices_;
    Usage usage_;
};

CompletionAnswer::CompletionAnswer(AnswerHead head, const CompletionRequest& request,
                                   const text::Tokenizer& tokenizer,
                                   std::vector<std::vector<int32_t>> prompts,
                                   const std::vector<std::string>& echoes)
    : head_(std::move(head)),
      logprobs_(request.logprobs),
      scores_prompt_(request.echo && request.logprobs),
      n_(size_t(request.n)),
      best_of_(size_t(request.best_of)),
      prompts_(std::move(prompts)) {
    for (size_t i = 0; i < prompts_.size() * best_of_; ++i) {
        choices_.push_back({.text = request.echo ? echoes[i / best_of_] : "",
                            .logprobs = LegacyLogprobs(tokenizer, request.top_logprobs)});
    }
}

void CompletionAnswer::add(Choice& choice, const Piece& piece) const {
    choice.text += piece.text;
    choice.tokens += piece.tokens;
    choice.logprob_sum += double(piece.logprob);
    if (logprobs_ && piece.id >= 0) choice.logprobs.add({piece.id, piece.logprob}, piece.top);
}

std::string CompletionAnswer::piece(size_t index, const Piece& piece) {
    Choice& choice = choices_[index];
    if (scores_prompt_) {
        choice.held.push_back(piece);
        return "";
    }
    add(choice, piece);
    const bool has_news = !choice.text.empty() || !choice.logprobs.empty();
    return head_.stream && has_news ? chunk(index) : "";
}

void CompletionAnswer::score_prompt(Choice& choice, const std::vector<int32_t>& prompt,
                                    const infer::RequestResult& result) const {
    choice.logprobs.add_first(prompt.front());
    for (size_t i = 0; i < result.prompt_logprobs.size(); ++i) {
        const infer::TokenLogprob token = {prompt[i + 1], result.prompt_logprobs[i]};
        const bool has_top = i < result.prompt_top.size();
        choice.logprobs.add(token, has_top ? std::span(result.prompt_top[i])
                                           : std::span<const infer::TokenLogprob>());
    }
}

std::string CompletionAnswer::finished(size_t index, const TextEnd& end) {
    const infer::RequestResult& result = end.result;
    Choice& choice = choices_[index];
    usage_.add(result, index % best_of_ == 0);
    if (scores_prompt_) {
        score_prompt(choice, prompts_[index / best_of_], result);
        for (const Piece& piece : choice.held) add(choice, piece);
    }
    choice.finish_reason = finish_reason(result.finish_reason);
    return head_.stream ? chunk(index) : "";
}

/// Of each prompt the n choices with the largest mean log-probability, the best first.
std::vector<size_t> CompletionAnswer::best_choices() const {
    std::vector<size_t> chosen;
    for (size_t first = 0; first < choices_.size(); first += best_of_) {
        std::vector<size_t> order(best_of_);
        std::iota(order.begin(), order.end(), first);
        if (best_of_ > n_) {
            std::ranges::stable_sort(order, [&](size_t a, size_t b) {
                return choices_[a].mean_logprob() > choices_[b].mean_logprob();
            });
        }
        chosen.insert(chosen.end(), order.begin(), order.begin() + int64_t(n_));
    }
    return chosen;
}

Json CompletionAnswer::body() const {
    return {{"id", head_.id},
            {"object", "text_completion"},
            {"created", head_.created},
            {"model", head_.model}};
}

Json CompletionAnswer::choice_json(size_t index, Choice& choice) const {
    const auto& reason = choice.finish_reason;
    return {{"index", index},
            {"text", std::exchange(choice.text, "")},
            {"logprobs", logprobs_ ? choice.logprobs.take() : Json()},
            {"finish_reason", reason.empty() ? Json() : Json(reason)}};
}

std::string CompletionAnswer::chunk(size_t index) {
    Json json = body();
    json["choices"] = Json::array({choice_json(index, choices_[index])});
    if (head_.include_usage) json["usage"] = nullptr;
    return event(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string CompletionAnswer::end() {
    Json json = body();
    Json& choices = json["choices"] = Json::array();
    if (!head_.stream) {
        for (const size_t index : best_choices()) {
            choices.push_back(choice_json(choices.size(), choices_[index]));
        }
    }
    json["usage"] = usage_.json();
    const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!head_.stream) return text;
    return (head_.include_usage ? event(text) : "") + event("[DONE]");
}

}  // namespace

std::unique_ptr<Answer> completion_answer(AnswerHead head, const CompletionRequest& request,
                                          const text::Tokenizer& tokenizer,
                                          std::vector<std::vector<int32_t>> prompts,
                                          const std::vector<std::string>& echoes) {
    return std::make_unique<CompletionAnswer>(std::move(head), request, tokenizer,
                                              std::move(prompts), echoes);
}

}  // namespace hadal::serve
