#include "eval/divergence.h"

#include <doctest/doctest.h>

#include <cmath>

#include "eval/perplexity.h"
#include "model/rotary_scaling.h"
#include "model/support.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::eval;

namespace {

const std::string kText = "the fox sat on the log, the log lay in the bog\n";

struct Setting {
    explicit Setting(int threads = 2) : machine(threads), tokenizer(trained()) {}
    text::Tokenizer trained() {
        const std::vector<std::string_view> documents = {kText};
        return text::Tokenizer(
            text::train_bpe(machine.threads, documents, {.vocab_size = 280}).content());
    }
    model::Model fresh(uint64_t seed) {
        model::Model model;
        model.config = model::preset("tiny");
        model.config.initializer_range = 0.1;
        model.weights = model::init_weights(machine.context, model.config, DType::f32, seed);
        model.cos_sin = model::rotary_table(model.config, 256, DType::f32);
        return model;
    }
    Divergence compare(const model::Model& p, const model::Model& q, int64_t window = 256) {
        return compare_models(machine.context, p, q, tokenizer, kText, window);
    }
    test::Machine machine;
    text::Tokenizer tokenizer;
};

}  // namespace

TEST_CASE("divergence: a model agrees with itself") {
    Setting s;
    const model::Model model = s.fresh(3);
    const Divergence same = s.compare(model, model);
    CHECK(same.kl() == 0);
    CHECK(same.agreement() == 1);
    CHECK(same.positions == int64_t(s.tokenizer.encode(kText).size()));
}

TEST_CASE("divergence: from one that knows nothing it is what entropy is short of its most") {
    Setting s;
    const model::Model p = s.fresh(3);
    model::Model flat = s.fresh(3);
    flat.weights.lm_head.weight.fill_zero();
    std::vector<int32_t> ids = {s.tokenizer.bos_id().value()};
    for (const int32_t id : s.tokenizer.encode(kText)) ids.push_back(id);
    Tensor row = Tensor::zeros({1, int64_t(ids.size())}, DType::i32);
    std::ranges::copy(ids, row.values<int32_t>().begin());
    const int64_t count = int64_t(ids.size()) - 1, vocab = p.config.vocab_size;
    model::Saved saved = model::allocate_saved(p.config, count, DType::f32, false, model::owned);
    model::forward(s.machine.context, p, model::make_batch(row), saved);
    Tensor logits = Tensor::zeros({count, vocab}, DType::f32);
    model::head_logits(s.machine.context, p, saved.normed, logits);
    double expected = 0;
    for (int64_t t = 0; t < count; ++t) {
        double sum = 0, entropy = 0;
        for (const float logit : logits.row<float>(t)) sum += std::exp(double(logit));
        for (const float logit : logits.row<float>(t)) {
            const double probability = std::exp(double(logit)) / sum;
            entropy -= probability * std::log(probability);
        }
        expected += std::log(double(vocab)) - entropy;
    }
    CHECK(s.compare(p, flat).kl_sum == doctest::Approx(expected).epsilon(1e-6));
    CHECK(s.compare(p, flat).kl() > 0.01);
}

TEST_CASE("divergence: it has a direction, and does not depend on threads") {
    Setting s, alone(1);
    const model::Model p = s.fresh(3), q = s.fresh(4);
    const Divergence there = s.compare(p, q);
    CHECK(there.kl() > 0);
    CHECK(there.kl() != s.compare(q, p).kl());
    CHECK(there.agreement() < 1);
    CHECK(there.kl_sum == alone.compare(p, q).kl_sum);
    CHECK(s.compare(p, q, 7).positions == there.positions);  // every token once
}

TEST_CASE("divergence: models of other vocabularies are refused") {
    Setting s;
    const model::Model p = s.fresh(3);
    model::Model q = s.fresh(3);
    q.config.vocab_size -= 1;
    CHECK_THROWS_WITH_AS(s.compare(p, q), doctest::Contains("vocabulary"), Error);
    CHECK_THROWS_WITH_AS(compare_models(s.machine.context, p, p, s.tokenizer, "", 8),
                         doctest::Contains("fewer than two tokens"), Error);
}
