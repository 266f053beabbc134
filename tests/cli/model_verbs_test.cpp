// The verbs that make, show, change and run a model, against each other: what one says, another
// must confirm.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/temporary_directory.h"
#include "cli/arguments.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/file_map.h"

namespace hadal::cli {
extern const Command kConvert;
extern const Command kEval;
extern const Command kGenerate;
extern const Command kInit;
extern const Command kInspect;
extern const Command kPerplexity;
extern const Command kQuantize;
extern const Command kScore;
extern const Command kTokenizerEncode;
extern const Command kTokenizerTrain;
}  // namespace hadal::cli

using namespace hadal;
using namespace hadal::cli;
using nlohmann::json;

namespace {

const std::string kText =
    "Once upon a time a small fox lived near a river. It liked to swim, and it liked to sleep. "
    "One day the fox met a bird. \"Good day,\" said the bird. \"Good day,\" said the fox.\n";

json run(const Command& command, std::vector<std::string> words) {
    words.insert(words.end(), {"--log-level", "error"});
    const Arguments arguments(command, words, "");
    Report report(true);
    command.run(arguments, report);
    return json::parse(report.text());
}

/// A model with a tokenizer beside it, in f32 unless said otherwise.
struct Setting {
    explicit Setting(const std::string& dtype = "f32") {
        write_file_atomically(folder / "text.txt", kText);
        run(kTokenizerTrain, {path("text.txt"), "--vocab-size", "300", "--min-frequency", "1",
                              "--out", path("tokenizer")});
        made =
            run(kInit, {"--preset", "tiny", "--dtype", dtype, "--seed", "4", "--out", path("m")});
        for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
            std::filesystem::copy(folder / "tokenizer" / file, folder / "m" / file);
    }
    std::string path(const std::string& name) const {
        return (folder / name).string();
    }
    std::string file_of(const std::string& name, const json& content) const {
        write_file_atomically(folder / name, content.dump());
        return path(name);
    }
    /// What the model reads for a text: BOS, then the text's ids.
    json prompt_ids(const std::string& text) const {
        json ids = json::array({0});
        const json encoded = run(kTokenizerEncode, {path("m"), "-p", text});
        for (const json& id : encoded["ids"]) ids.push_back(id);
        return ids;
    }
    json generate(const std::vector<std::string>& more) const {
        std::vector<std::string> words = {path("m"), "-p", "Once upon", "-n", "12"};
        words.insert(words.end(), more.begin(), more.end());
        return run(kGenerate, words);
    }

    test::TemporaryDirectory folder;
    json made;
};

}  // namespace

TEST_CASE("model verbs: init and inspect agree on what was made, and seeds differ") {
    const Setting s;
    const json seen = run(kInspect, {s.path("m"), "--check"});
    for (const char* key : {"parameters", "active_parameters", "mtp_parameters"})
        CHECK(seen[key] == s.made[key]);
    CHECK(seen["finite"] == true);
    CHECK(seen["bytes"] == 4 * seen["checkpoint_parameters"].get<int64_t>());
    const json shape = run(kInspect, {"--preset", "tiny"});
    CHECK(shape["parameters"] == seen["parameters"]);
    CHECK(shape["tensors"] == seen["tensors"]);

    run(kInit, {"--preset", "tiny", "--dtype", "f32", "--seed", "4", "--out", s.path("same")});
    run(kInit, {"--preset", "tiny", "--dtype", "f32", "--seed", "5", "--out", s.path("other")});
    const auto weights = [&](const char* name) {
        return read_file(s.folder / name / "model.safetensors");
    };
    CHECK(weights("same") == weights("m"));
    CHECK(weights("other") != weights("m"));
}

TEST_CASE("model verbs: greedy generation takes what score finds most probable") {
    const Setting s;
    const json written = s.generate({"--speculate", "off"});
    json ids = s.prompt_ids("Once upon");
    const size_t begin = ids.size();
    CHECK(written["prompt_tokens"] == begin);
    for (const json& id : written["tokens"]) ids.push_back(id);
    const json scored = run(kScore, {s.path("m"), "--tokens", s.file_of("ids.json", ids), "--out",
                                     s.path("out.safetensors")});
    const auto tensors = checkpoint::Safetensors::open(s.path("out.safetensors"));
    const Tensor logits = tensors.load("logits");
    const json& logprobs = scored["sequences"][0]["logprobs"];
    REQUIRE(logprobs.size() == ids.size() - 1);
    for (size_t t = begin - 1; t + 1 < ids.size(); ++t) {
        // The tokenizer has 300 ids, the padded head 512.
        const auto row = logits.row<float>(int64_t(t));
        const auto best = std::ranges::max_element(row.first(300)) - row.begin();
        CHECK(best == ids[t + 1]);
        double sum = 0;
        for (const float logit : row) sum += std::exp(double(logit));
        CHECK(logprobs[t].get<double>() ==
              doctest::Approx(double(row[size_t(best)]) - std::log(sum)).epsilon(1e-4));
    }
}

TEST_CASE("model verbs: perplexity of a text is the score of its ids") {
    const Setting s;
    const json ids = s.prompt_ids(kText);
    const json scored = run(kScore, {s.path("m"), "--tokens", s.file_of("ids.json", ids)});
    const json measured = run(kPerplexity, {s.path("m"), "--text", s.path("text.txt")});
    CHECK(measured["tokens"] == ids.size() - 1);
    CHECK(measured["nll"].get<double>() ==
          doctest::Approx(scored["nll"].get<double>()).epsilon(1e-6));
    CHECK(measured["perplexity"].get<double>() ==
          doctest::Approx(std::exp(measured["nll"].get<double>())).epsilon(1e-6));
    CHECK(measured["bits_per_byte"].get<double>() ==
          doctest::Approx(measured["nll"].get<double>() * double(ids.size() - 1) / std::log(2.0) /
                          double(kText.size()))
              .epsilon(1e-6));
}

TEST_CASE(
    "model verbs: neither speculation nor threads nor the way to give a prompt changes text") {
    const Setting s;
    const json written = s.generate({"--speculate", "off"});
    for (const std::vector<std::string>& more :
         {std::vector<std::string>{"--speculate", "1"}, {"--speculate", "3"}, {"--threads", "3"}}) {
        CAPTURE(more[1]);
        CHECK(s.generate(more)["tokens"] == written["tokens"]);
    }
    const json always = s.generate({"--speculate", "always:1"});
    CHECK(always["tokens"] == written["tokens"]);
    // A step gives its own token and perhaps the guessed one; only the last ones guess nothing.
    const int64_t accepted = always["accepted_tokens"];
    CHECK(always["draft_tokens"] >= int64_t(written["tokens"].size()) - 2 - accepted);
    const json ids = s.prompt_ids("Once upon");
    CHECK(run(kGenerate, {s.path("m"), "--tokens", s.file_of("ids.json", ids), "-n",
                          "12"})["tokens"] == written["tokens"]);
}

TEST_CASE("model verbs: sampling is repeated by its seed, and top-k of one is greedy") {
    const Setting s;
    const auto sampled = [&](const std::string& seed) {
        return s.generate({"--temperature", "2", "--seed", seed})["tokens"];
    };
    CHECK(sampled("1") == sampled("1"));
    CHECK(sampled("1") != sampled("2"));
    CHECK(s.generate({"--temperature", "2", "--top-k", "1"})["tokens"] ==
          s.generate({"--speculate", "off"})["tokens"]);
}

TEST_CASE("model verbs: a stop string ends the text before itself") {
    const Setting s;
    const std::string whole = s.generate({})["text"];
    REQUIRE(whole.size() > 4);
    for (const size_t at : {size_t(0), whole.size() / 2, whole.size() - 1}) {
        const std::string stop = whole.substr(at, 2);
        CAPTURE(stop);
        const json cut = s.generate({"--stop", stop});
        CHECK(cut["text"] == whole.substr(0, whole.find(stop)));
        CHECK(cut["finish_reason"] == "stop");
    }
    CHECK(s.generate({"--stop", "never written"})["text"] == whole);
    CHECK(s.generate({})["finish_reason"] == "length");
}

TEST_CASE("model verbs: quantize says what inspect finds, and how much worse a text is predicted") {
    const Setting s("bf16");
    const json fp8 = run(kQuantize, {s.path("m"), "--to", "fp8", "--out", s.path("fp8"), "--check",
                                     s.path("text.txt")});
    const json seen = run(kInspect, {s.path("fp8"), "--check"});
    CHECK(fp8["bytes"] == seen["bytes"]);
    CHECK(fp8["tensors"] == seen["tensors"]);
    CHECK(seen["bytes"] < run(kInspect, {s.path("m")})["bytes"]);
    CHECK(fp8["max_abs_error"] > 0);
    const auto nll = [&](const char* model) {
        return run(kPerplexity, {s.path(model), "--text", s.path("text.txt")})["nll"].get<double>();
    };
    CHECK(fp8["nll"].get<double>() == doctest::Approx(nll("fp8")).epsilon(1e-6));
    CHECK(fp8["nll_change"].get<double>() == doctest::Approx(nll("fp8") - nll("m")).epsilon(1e-3));
    CHECK(fp8["kl"] > 0);
    CHECK(fp8["bits_per_weight"].get<double>() ==
          doctest::Approx(seen["bits_per_weight"].get<double>()));
    CHECK(run(kGenerate, {s.path("fp8"), "-p", "Once upon", "-n", "3"})["tokens"].size() == 3);

    const json back = run(kQuantize, {s.path("fp8"), "--to", "bf16", "--out", s.path("back")});
    CHECK(back["bytes"] == run(kInspect, {s.path("m")})["bytes"]);
    CHECK(nll("back") == doctest::Approx(nll("fp8")).epsilon(1e-3));
    CHECK_THROWS_WITH_AS(run(kQuantize, {s.path("fp8"), "--to", "fp8", "--out", s.path("again")}),
                         doctest::Contains("already"), Error);
}

TEST_CASE("model verbs: experts in INT4 are what inspect finds and generate runs") {
    const Setting s("bf16");
    const json int4 = run(kQuantize, {s.path("m"), "--to", "int4", "--rest", "bf16", "--out",
                                      s.path("int4"), "--check", s.path("text.txt")});
    const json seen = run(kInspect, {s.path("int4"), "--check"});
    CHECK(int4["bytes"] == seen["bytes"]);
    CHECK(int4["bits_per_weight"] == seen["bits_per_weight"]);
    CHECK(int4["bits_per_weight"] < 16);
    CHECK(int4["bits_per_weight"] > 4.5);
    CHECK(int4["kl"] > 0);
    CHECK(int4["same_best_token"] <= 1);
    const json plain = run(kInspect, {s.path("m")});
    CHECK(seen["parameters"] == plain["parameters"]);
    int64_t codes = 0;
    for (const json& row : seen["dtypes"])
        if (row["dtype"] == "int4") codes = row["bytes"].get<int64_t>();
    CHECK(codes > 0);
    CHECK(2 * codes >= seen["routed_experts"].get<int64_t>());
    CHECK(run(kGenerate, {s.path("int4"), "-p", "Once upon", "-n", "3"})["tokens"].size() == 3);

    // The same numbers in bf16: the same text, bit for bit.
    run(kQuantize, {s.path("int4"), "--to", "bf16", "--out", s.path("back")});
    const auto nll = [&](const char* model, const char* activations) {
        const json said = run(kPerplexity, {s.path(model), "--text", s.path("text.txt"),
                                            "--activations", activations});
        return said["nll"].get<double>();
    };
    CHECK(nll("back", "int8") == nll("int4", "bf16"));
    CHECK(nll("back", "int8") == nll("back", "bf16"));  // nothing of integers to multiply
    CHECK(nll("int4", "int8") != nll("int4", "bf16"));
    CHECK_THROWS_WITH_AS(run(kQuantize, {s.path("int4"), "--to", "int4", "--rest", "bf16", "--out",
                                         s.path("again")}),
                         doctest::Contains("already"), Error);
}

TEST_CASE("model verbs: eval counts the answers that generate would give") {
    const Setting s;
    // A prompt that this random model continues with a plain word.
    std::string prompt, answer;
    for (const char letter : std::string("abcdefghijklmnopqrstuvw")) {
        prompt = std::string("the fox ") + letter;
        answer = run(kGenerate, {s.path("m"), "-p", prompt, "-n", "1"})["text"];
        answer.erase(0, answer.find_first_not_of(' '));
        if (!answer.empty() && std::ranges::all_of(answer, [](char c) { return c > 32; })) break;
    }
    REQUIRE(!answer.empty());
    const json right = {{"prompt", prompt}, {"answer", answer}, {"task", "t"}};
    const json wrong = {{"prompt", prompt}, {"answer", answer + "!"}, {"task", "t"}};
    write_file_atomically(s.folder / "items.jsonl", right.dump() + "\n" + wrong.dump() + "\n");
    const json tasks =
        run(kEval, {s.path("m"), "--data", s.path("items.jsonl"), "-n", "1"})["tasks"];
    REQUIRE(tasks.size() == 1);
    CHECK(tasks[0]["n"] == 2);
    CHECK(tasks[0]["value"] == 0.5);
}

TEST_CASE("model verbs: a converted GGUF file is the model that inspect and score then find") {
    const test::TemporaryDirectory folder;
    const std::string golden = std::string(HADAL_TEST_DATA) + "/golden/";
    const std::string out = (folder / "m").string();
    const json made = run(kConvert, {golden + "gguf/model.gguf", "--out", out, "--dtype", "f32"});
    CHECK(made["tokenizer"] == false);
    CHECK(!made.contains("assumed"));
    const json found = run(kInspect, {out}), source = run(kInspect, {golden + "mtp"});
    CHECK(made["tensors"] == found["tensors"]);
    CHECK(made["parameters"] == source["parameters"]);
    write_file_atomically(folder / "ids.json", "[[0, 5, 7, 9, 11, 199]]");
    const std::string ids = (folder / "ids.json").string();
    CHECK(run(kScore, {out, "--tokens", ids}) == run(kScore, {golden + "mtp", "--tokens", ids}));
}

TEST_CASE("model verbs: a GGUF file is quantised to the weights that its model is quantised to") {
    const test::TemporaryDirectory folder;
    const std::string golden = std::string(HADAL_TEST_DATA) + "/golden/";
    write_file_atomically(folder / "ids.json", "[[0, 5, 7, 9, 11, 199]]");
    const std::string ids = (folder / "ids.json").string();
    for (const char* to : {"fp8", "bf16"}) {  // its experts are too narrow for integers
        CAPTURE(to);
        const std::string file = (folder / (std::string("file-") + to)).string();
        const std::string model = (folder / (std::string("model-") + to)).string();
        const json of_file =
            run(kQuantize, {golden + "gguf/model.gguf", "--to", to, "--out", file});
        const json of_model = run(kQuantize, {golden + "mtp", "--to", to, "--out", model});
        CHECK(of_file["max_abs_error"] == of_model["max_abs_error"]);
        CHECK(run(kScore, {file, "--tokens", ids}) == run(kScore, {model, "--tokens", ids}));
    }
}

TEST_CASE("model verbs: a GGUF file is a model too, where it lies and dequantised") {
    const test::TemporaryDirectory folder;
    const std::string golden = std::string(HADAL_TEST_DATA) + "/golden/";
    write_file_atomically(folder / "ids.json", "[[0, 5, 7, 9, 11, 199]]");
    const std::string ids = (folder / "ids.json").string();
    for (const char* dtype : {"f32", "bf16"}) {
        CHECK(run(kScore, {golden + "gguf/model.gguf", "--tokens", ids, "--dtype", dtype}) ==
              run(kScore, {golden + "mtp", "--tokens", ids, "--dtype", dtype}));
    }
    const json found = run(kInspect, {golden + "gguf/model.gguf", "--check"});
    const json source = run(kInspect, {golden + "mtp"});
    for (const char* key : {"parameters", "active_parameters", "mtp_parameters"})
        CHECK(found[key] == source[key]);
    CHECK(found["finite"] == true);
    int64_t bytes = 0;
    for (const json& row : found["dtypes"]) bytes += row["bytes"].get<int64_t>();
    CHECK(bytes == found["bytes"]);
}
