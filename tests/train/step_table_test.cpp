#include "train/step_table.h"

#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

int64_t steps_of(const std::string& keys) {
    return count_steps(
        parse_recipe("[run]\nout = \"x\"\n" + keys +
                         "[data]\nrandom = true\nseq_len = 10\n[model]\npreset = \"tiny\"\n",
                     "r", {}));
}

/// One row as the golden table has it.
struct Expected {
    std::string what;
    int64_t step;
    int64_t tokens;
    double learning_rate;
    int64_t batch;
    double bias_rate;
    double mtp_weight;
};

}  // namespace

TEST_CASE("memory plan: steps of a run by tokens, with and without a ramp") {
    CHECK(steps_of("steps = 7\n") == 7);
    CHECK(steps_of("tokens = 80\n[batch]\nsequences = 8\n") == 1);
    CHECK(steps_of("tokens = 81\n[batch]\nsequences = 8\n") == 2);
    // 2, then 2 + 6·20/100 = 3, 2 + 6·50/100 = 5, at 100 tokens 8 and 8.
    CHECK(steps_of("tokens = 260\n[batch]\nsequences = 8\nramp_from = 2\nramp_until = \"100\"\n") ==
          5);
}

TEST_CASE("step table: the report's pre-training, as a script that walks all its steps has it") {
    // §4.2: 14.8T tokens in sequences of 4096; warm-up 2000 steps; batch 3072 → 15360 over 469B;
    // 2.2e-4 until 10T, cosine to 2.2e-5 over 4.3T, then 333B, then 7.3e-6 for 167B; γ 0.001, and 0
    // for the last 500B; λ 0.3, and 0.1 from 10T. The ramp is taken as linear in tokens.
    const std::vector<Expected> golden = {
        {"start", 1, 0, 1.1e-7, 3072, 0.001, 0.3},
        {"warm-up ends", 2001, 28064358400, 2.2e-4, 3807, 0.001, 0.3},
        {"batch ramp ends", 15001, 469058203648, 2.2e-4, 15360, 0.001, 0.3},
        {"cosine begins, mtp weight changes", 166492, 10000047812608, 0.00021999999993959778, 15360,
         0.001, 0.1},
        {"cosine ends, bias rate ends", 234838, 14300006330368, 2.2e-5, 15360, 0, 0.1},
        {"last rate", 240131, 14633013096448, 7.3e-6, 15360, 0, 0.1},
        {"end", 242785, 14800051253248, 7.3e-6, 15360, 0, 0.1},
    };
    const auto rows = step_table(
        read_recipe(std::string(HADAL_TEST_DATA) + "/../recipes/v3_671b/pretrain.toml", {}));
    REQUIRE(rows.size() == golden.size());
    for (size_t i = 0; i < rows.size(); ++i) {
        CAPTURE(golden[i].what);
        CHECK(rows[i].what == golden[i].what);
        CHECK(rows[i].step == golden[i].step);
        CHECK(rows[i].tokens == golden[i].tokens);
        CHECK(rows[i].learning_rate == doctest::Approx(golden[i].learning_rate).epsilon(1e-12));
        CHECK(rows[i].batch == golden[i].batch);
        CHECK(rows[i].bias_rate == golden[i].bias_rate);
        CHECK(rows[i].mtp_weight == golden[i].mtp_weight);
    }
}

TEST_CASE("step table: it tells what the trainer then does") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::small_recipe(
        folder, {"run.steps=0", "run.tokens=4000", "batch.ramp_from=2", "batch.ramp_until=25%",
                 "learning_rate.constant_until=50%", "learning_rate.cosine_until=80%",
                 "learning_rate.last_from=90%"});
    const auto rows = step_table(recipe);
    Trainer trainer(machine.context, recipe);
    size_t next = 0;
    StepResult result;
    while (!trainer.finished()) {
        const Progress before = trainer.progress();
        result = trainer.step();
        if (rows[next].what == "end" || rows[next].step != before.step + 1) continue;
        CAPTURE(rows[next].what);
        CHECK(rows[next].tokens == before.tokens);
        CHECK(rows[next].learning_rate == result.learning_rate);
        CHECK(rows[next].batch == result.sequences);
        ++next;
    }
    CHECK(next + 1 == rows.size());
    CHECK(rows.back().what == "end");
    CHECK(rows.back().step == trainer.progress().step);
    CHECK(rows.back().tokens == trainer.progress().tokens);
    CHECK(rows.back().learning_rate == result.learning_rate);
}

TEST_CASE("step table: a run too short for its schedule has only what it reaches") {
    const auto rows = step_table(
        parse_recipe("[run]\nout = \"x\"\nsteps = 10\n[data]\nrandom = true\nseq_len = 10\n"
                     "[model]\npreset = \"tiny\"\n",
                     "r", {}));
    for (const StepTableRow& row : rows) {
        CAPTURE(row.what);
        CHECK(row.step <= 10);
        CHECK(row.what.find("warm-up") == std::string::npos);  // of 2000 steps
    }
    CHECK(rows.front().what == "start");
    CHECK(rows.back().step == 10);
}
