// The engine with weights in INT4 and INT8 and activations in INT8.
#include "infer/engine_support.h"

using namespace hadal;
using namespace hadal::infer;
using namespace hadal::test;

namespace {

model::Model integer_model(Context& context) {
    model::Model model = random_model(context, DType::bf16);
    model.weights = in_integers(model.config, std::move(model.weights));
    return model;
}

}  // namespace

TEST_CASE("engine: with integer weights and activations a request has the bits of running alone") {
    for (const Isa isa : {best_isa(), Isa::portable}) {
        CAPTURE(name(isa));
        test::Machine machine(3, isa), single(1, isa);
        check_random_schedules(machine.context, single.context, integer_model(machine.context));
    }
}

TEST_CASE("engine: with integer weights expanded form has the log-probabilities of scoring") {
    test::Machine machine(3), trainer(1);
    const model::Model model = integer_model(machine.context);
    EngineOptions options = with_pages(model, 30);
    options.attention = AttentionForms::expanded;
    options.max_step_tokens = 33;
    Engine engine(machine.context, model, options);
    std::vector<Outcome> outcomes(4);
    for (size_t i = 0; i < outcomes.size(); ++i) {
        Request request{.prompt = ids_of(int64_t(1 + 50 * i), i), .max_new_tokens = 20};
        request.logprobs = true;
        engine.submit(listening(outcomes[i], request));
    }
    while (engine.step()) {
    }
    for (size_t i = 0; i < outcomes.size(); ++i) {
        std::vector<int32_t> ids = ids_of(int64_t(1 + 50 * i), i);
        const auto& generated = outcomes[i].result.tokens;
        ids.insert(ids.end(), generated.begin(), generated.end());
        const auto scores = scores_of(trainer.context, model, ids);
        CHECK(outcomes[i].logprobs ==
              std::vector<float>(scores.end() - int64_t(generated.size()), scores.end()));
    }
}
