#include "eval/perplexity.h"

#include <doctest/doctest.h>

#include <cmath>

#include "model/rotary_scaling.h"
#include "model/support.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::eval;

namespace {

const std::string kText = "the fox sat on the log, the log lay in the bog\n";

struct Setting {
    Setting() : tokenizer(trained(true)) {
        model.config = model::preset("tiny");
        model.config.initializer_range = 0.1;
        model.weights = model::init_weights(machine.context, model.config, DType::f32, 3);
        model.cos_sin = model::rotary_table(model.config, 256, DType::f32);
    }
    text::Tokenizer trained(bool with_bos) {
        const std::vector<std::string_view> documents = {kText};
        auto content = text::train_bpe(machine.threads, documents, {.vocab_size = 280}).content();
        if (!with_bos) content.bos_id.reset();
        return text::Tokenizer(std::move(content));
    }
    TextScore score(std::string_view text, int64_t window) {
        return score_text(machine.context, model, tokenizer, text, window);
    }
    test::Machine machine;
    text::Tokenizer tokenizer;
    model::Model model;
};

/// −Σ ln p of a sequence's tokens after the first, from the logits.
double loss_of(Setting& s, const std::vector<int32_t>& ids) {
    Tensor row = Tensor::zeros({1, int64_t(ids.size())}, DType::i32);
    std::copy(ids.begin(), ids.end(), row.values<int32_t>().begin());
    const auto count = int64_t(ids.size()) - 1;
    model::Saved saved =
        model::allocate_saved(s.model.config, count, DType::f32, false, model::owned);
    model::forward(s.machine.context, s.model, model::make_batch(row), saved);
    Tensor logits = Tensor::zeros({count, s.model.config.vocab_size}, DType::f32);
    model::head_logits(s.machine.context, s.model, saved.normed, logits);
    double loss = 0;
    for (int64_t t = 0; t < count; ++t) {
        double sum = 0;
        for (const float logit : logits.row<float>(t)) sum += std::exp(double(logit));
        loss += std::log(sum) - double(logits.row<float>(t)[size_t(ids[size_t(t) + 1])]);
    }
    return loss;
}

}  // namespace

TEST_CASE("perplexity: the loss of a window is that of its logits, BOS in front") {
    Setting s;
    std::vector<int32_t> ids = {s.tokenizer.bos_id().value()};
    for (const int32_t id : s.tokenizer.encode(kText)) ids.push_back(id);
    const TextScore score = s.score(kText, 256);
    CHECK(score.targets == int64_t(ids.size()) - 1);
    CHECK(score.loss == doctest::Approx(loss_of(s, ids)).epsilon(1e-5));
    CHECK(score.nll() == score.loss / double(score.targets));
}

TEST_CASE("perplexity: every token is predicted once, whatever the window, when BOS leads each") {
    Setting s;
    const auto count = int64_t(s.tokenizer.encode(kText).size());
    for (const int64_t window : {2, 3, 5, 100}) {
        CAPTURE(window);
        CHECK(s.score(kText, window).targets == count);
    }
    // Windows are scored on their own: two of them are two texts.
    const auto ids = s.tokenizer.encode(kText);
    double loss = 0;
    for (size_t begin = 0; begin < ids.size(); begin += 5) {
        std::vector<int32_t> part = {s.tokenizer.bos_id().value()};
        for (size_t i = begin; i < std::min(begin + 5, ids.size()); ++i) part.push_back(ids[i]);
        loss += loss_of(s, part);
    }
    CHECK(s.score(kText, 5).loss == doctest::Approx(loss).epsilon(1e-5));
}

TEST_CASE("perplexity: without BOS the first token of a window is not predicted") {
    Setting s;
    s.tokenizer = s.trained(false);
    const auto ids = s.tokenizer.encode(kText);
    CHECK(s.score(kText, 256).targets == int64_t(ids.size()) - 1);
    CHECK(s.score(kText, 256).loss == doctest::Approx(loss_of(s, ids)).epsilon(1e-5));
}

TEST_CASE("perplexity: a model that knows nothing spreads over the vocabulary") {
    Setting s;
    s.model.weights.lm_head.weight.fill_zero();
    CHECK(s.score(kText, 7).nll() ==
          doctest::Approx(std::log(double(s.model.config.vocab_size))).epsilon(1e-6));
}

TEST_CASE("perplexity: a text without two tokens is refused") {
    Setting s;
    CHECK_THROWS_WITH_AS(s.score("", 16), doctest::Contains("fewer than two tokens"), Error);
    s.tokenizer = s.trained(false);
    CHECK_THROWS_AS(s.score("a", 16), Error);
}
