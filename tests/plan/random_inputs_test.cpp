// Any inputs within their ranges: an answer of finite figures, or an error in one line.
#include <doctest/doctest.h>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/random.h"
#include "plan/answers.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

/// Log-uniform over the key's range, with its ends and small values as likely as the rest.
std::string random_value(const InputKey& key, RandomSequence& random) {
    if (!key.choices.empty()) return std::string(key.choices[random.below(key.choices.size())]);
    if (std::holds_alternative<std::string*>(key.target)) return "a chip";
    double value = 0;
    switch (random.below(4)) {
        case 0:
            value = key.minimum;
            break;
        case 1:
            value = key.maximum;
            break;
        case 2:
            value = double(int64_t(1) << random.below(12));
            break;
        default:
            value = std::exp(std::log(1e-3) + random.uniform() * std::log(1e9));
    }
    value = std::min(std::max(value, key.minimum), key.maximum);
    if (std::holds_alternative<int64_t*>(key.target)) value = std::floor(value);
    if (key.name == "failures.trials") value = std::min(value, 1000.0);  // only takes longer
    return std::to_string(value);
}

Inputs random_inputs(RandomSequence& random) {
    const auto clusters = preset_names(PresetKind::cluster);
    Inputs inputs = test::cluster(clusters[random.below(clusters.size())]);
    const uint64_t changes = random.below(6);
    for (uint64_t i = 0; i < changes; ++i) {
        const auto keys = input_keys(inputs);
        const InputKey& key = keys[random.below(keys.size())];
        test::set(inputs, key.name, random_value(key, random));
    }
    inputs.failures.trials = std::min<int64_t>(inputs.failures.trials, 1000);
    return inputs;
}

void check_answer(Answer (*ask)(const model::ModelConfig&, const Inputs&),
                  const model::ModelConfig& config, const Inputs& inputs, int& answered) {
    try {
        const Answer answer = ask(config, inputs);
        ++answered;
        for (const Section& section : answer.sections) {
            for (const Figure& figure : section.figures) {
                CAPTURE(figure.key);
                CHECK(std::isfinite(figure.value));
            }
        }
        CHECK(!text_of(answer).empty());
    } catch (const Error& error) {
        const std::string message = error.what();
        CAPTURE(message);
        CHECK(error.exit_status() == 2);
        CHECK(message.find('\n') == std::string::npos);
        CHECK(message.size() < 600);
    }
}

}  // namespace

TEST_CASE("random inputs: finite figures or one line of error") {
    RandomSequence random(20260728);
    const auto models = model::preset_names();
    int answered = 0;
    for (int trial = 0; trial < 200; ++trial) {
        const Inputs inputs = random_inputs(random);
        const std::string& model = models[random.below(models.size())];
        std::string changes;
        for (const auto& [key, origin] : inputs.origins) {
            if (origin.kind != Origin::Kind::given) continue;
            Inputs copy = inputs;
            for (const InputKey& one : input_keys(copy)) {
                if (one.name == key) changes += " " + key + "=" + input_text(one);
            }
        }
        CAPTURE(inputs.cluster);
        CAPTURE(model);
        CAPTURE(changes);
        const model::ModelConfig config = model::preset(model);
        for (const auto ask : {answer_train, answer_memory, answer_serve, answer_failures})
            check_answer(ask, config, inputs, answered);
    }
    CHECK(answered > 200);  // the test tests answers too, not only errors
}

}  // namespace hadal::plan
