// `hadal train` as a process: what a kill, Ctrl-C and bad input leave.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "checkpoint/temporary_directory.h"
#include "cli/program.h"
#include "core/error.h"

using namespace hadal;
using test::Program;

namespace {

constexpr const char* kRecipe = R"(
[run]
steps = 60
seed = 5
[model]
preset = "tiny"
vocab_size = 64
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
q_lora_rank = 16
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 48
moe_intermediate_size = 16
[data]
random = true
seq_len = 32
[batch]
sequences = 4
micro_batch = 4
[snapshot]
every = 3
)";

struct Runs {
    Runs() {
        std::ofstream(folder / "recipe.toml") << kRecipe;
    }
    std::vector<std::string> words(const std::string& run,
                                   std::vector<std::string> more = {}) const {
        std::vector<std::string> all = {"train",     (folder / "recipe.toml").string(),
                                        "--set",     "run.out=" + (folder / run).string(),
                                        "--threads", "2"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Program start(const std::string& run, std::vector<std::string> more = {}) const {
        return Program(folder.path(), words(run, std::move(more)));
    }
    int64_t lines(const std::string& run) const {
        std::ifstream file(folder / run / "metrics.jsonl");
        std::string line;
        int64_t count = 0;
        while (std::getline(file, line)) ++count;
        return count;
    }
    /// Until the run has logged this many steps: tests must not depend on the machine's speed.
    void wait_for_lines(const std::string& run, int64_t count) const {
        while (lines(run) < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::string model(const std::string& run) const {
        return read_file(folder / run / "model/model.safetensors");
    }

    test::TemporaryDirectory folder;
};

}  // namespace

TEST_CASE("hadal train: killed again and again, a run ends with the weights of one that was not") {
    const Runs runs;
    CHECK(runs.start("whole").wait() == 0);
    for (const int64_t steps : {2, 5, 19, 31}) {
        const Program program = runs.start("killed", {"--resume"});
        runs.wait_for_lines("killed", steps);
        program.send(SIGKILL);
        CHECK(program.wait() == 128 + SIGKILL);
    }
    const Program last = runs.start("killed", {"--resume", "--json"});
    CHECK(last.wait() == 0);
    CHECK(runs.model("killed") == runs.model("whole"));
    CHECK(runs.lines("killed") == 60);
    // One line a step, then the summary.
    std::istringstream out(last.out());
    std::string line;
    nlohmann::json object;
    while (std::getline(out, line)) object = nlohmann::json::parse(line);
    CHECK(object["finished"] == true);
    CHECK(object["resumed_from_step"].get<int64_t>() >= 27);
}

TEST_CASE("hadal train: each signal writes a snapshot and ends well; --resume finishes the run") {
    const Runs runs;
    CHECK(runs.start("whole").wait() == 0);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
        CAPTURE(signal);
        const std::string run = concat("stopped", signal);
        const Program stopped = runs.start(run, {"--set", "snapshot.every=0"});
        runs.wait_for_lines(run, 4);
        stopped.send(signal);
        CHECK(stopped.wait() == 0);
        CHECK(stopped.out().find("--resume") != std::string::npos);
        const int64_t done = runs.lines(run);
        CHECK(done >= 4);
        CHECK(done < 60);
        CHECK(runs.start(run).wait() == 2);  // a run is there
        CHECK(runs.start(run, {"--resume"}).wait() == 0);
        CHECK(runs.model(run) == runs.model("whole"));
    }
}

TEST_CASE(
    "hadal: bad input is one line on standard error and exit status 2, and nothing is written") {
    const Runs runs;
    struct Case {
        std::vector<std::string> words;
        std::string part;
    };
    const std::vector<Case> cases = {
        {{}, "no verb"},
        {{"trian"}, "did you mean 'train'"},
        {{"train"}, "give RECIPE"},
        {{"train", "nowhere.toml"}, "nowhere.toml"},
        {runs.words("bad", {"--set", "batch.sequences=0"}), "batch.sequences must be"},
        {runs.words("bad", {"--set", "data.random=false"}), "nothing to train on"},
        {runs.words("bad", {"--set", "data.random=false", "--set", "data.train=[\"gone\"]"}),
         "gone"},
        {runs.words("bad", {"--set", "data.random=false", "--set", "data.corpus=gone"}), "gone"},
        {runs.words("bad", {"--set", "model.init_from=gone", "--set", "model.preset=tiny"}),
         "exclude"},
        {runs.words("bad", {"--reusme"}), "did you mean '--resume'"},
        {runs.words("bad", {"--device", "cuda"}), "no GPU"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.part);
        const Program program(runs.folder.path(), c.words);
        const int status = program.wait();
        const std::string err = program.err();
        CAPTURE(err);
        CHECK(status == 2);
        CHECK(err.starts_with("error: "));
        CHECK(std::count(err.begin(), err.end(), '\n') == 1);
        CHECK(err.find(c.part) != std::string::npos);
        CHECK(program.out().empty());
        CHECK_FALSE(std::filesystem::exists(runs.folder / "bad"));
    }
}

TEST_CASE("hadal train --dry-run: the plan, and nothing on the disk") {
    const Runs runs;
    const Program program = runs.start("dry", {"--dry-run", "--json"});
    CHECK(program.wait() == 0);
    const auto plan = nlohmann::json::parse(program.out());
    CHECK(plan["steps"] == 60);
    CHECK(plan["tokens"] == 60 * 4 * 32);
    CHECK(plan["moments_bytes"] == 8 * plan["parameters"].get<int64_t>());
    CHECK(plan["weights_bytes"] == 2 * plan["parameters"].get<int64_t>());
    CHECK_FALSE(std::filesystem::exists(runs.folder / "dry"));
}
