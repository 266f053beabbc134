#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/file_map.h"

namespace hadal::cli {
extern const Command kDataCollect;
extern const Command kDataSynth;
extern const Command kDataPack;
extern const Command kDataStats;
extern const Command kTokenizerTrain;
extern const Command kTokenizerEncode;
extern const Command kTokenizerDecode;
}  // namespace hadal::cli

using namespace hadal;
using namespace hadal::cli;
using nlohmann::json;

namespace {

json run(const Command& command, const std::vector<std::string>& words) {
    const Arguments arguments(command, words, "");
    Report report(true);
    command.run(arguments, report);
    return json::parse(report.text());
}

std::string refusal(const Command& command, const std::vector<std::string>& words) {
    try {
        run(command, words);
    } catch (const Error& error) {
        CHECK(error.exit_status() == 2);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// An empty folder of its own, removed at the end.
class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "hadal-cli-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string operator/(const std::string& name) const {
        return (path_ / name).string();
    }

  private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("data verbs: from folders and tasks over a tokenizer to packed sets") {
    const Folder folder;
    std::filesystem::create_directory(folder / "in");
    for (int i = 0; i < 8; ++i) {
        std::ofstream file(folder / ("in/" + std::to_string(i) + ".h"));
        for (int k = 0; k < 40; ++k) file << "int function_" << i * 100 + k << "(int value);\n";
    }
    const json collected =
        run(kDataCollect, {"--source", "code=" + folder / "in", "--match", "code=.h", "--weight",
                           "code=2", "--out", folder / "code.jsonl"});
    CHECK(collected["documents"] == 8);
    CHECK(collected["sources"][0]["files"] == 8);

    const json tasks = run(kDataSynth, {"--task", "story=40", "--task", "arithmetic=200", "--seed",
                                        "5", "--out", folder / "tasks.jsonl", "--evaluation",
                                        folder / "evaluation.jsonl", "--evaluation-count", "7"});
    CHECK(tasks["documents"] == 252);
    CHECK(tasks["evaluation_prompts"] == 7);

    const json trained =
        run(kTokenizerTrain, {folder / "code.jsonl", folder / "tasks.jsonl", "--vocab-size", "400",
                              "--out", folder / "tokenizer"});
    CHECK(trained["vocab_size"] == 400);

    const json encoded =
        run(kTokenizerEncode, {folder / "tokenizer", "-p", "12+35=47 \xE2\x82\xAC"});
    std::vector<std::string> words{folder / "tokenizer"};
    for (const int id : encoded["ids"]) words.push_back(std::to_string(id));
    CHECK(run(kTokenizerDecode, words)["text"] == "12+35=47 \xE2\x82\xAC");

    const json packed =
        run(kDataPack, {folder / "code.jsonl", folder / "tasks.jsonl", "--tokenizer",
                        folder / "tokenizer", "--out", folder / "packed", "--fim-rate", "0.5"});
    CHECK(packed["documents"] == 260);
    CHECK(packed["tokens"] > 1000);
    CHECK(packed["vocab_size"] == 400);
    json stats = run(kDataStats, {folder / "packed"});
    CHECK(stats["sets"] == packed["sets"]);
    CHECK(stats["tokens"] == packed["tokens"]);
    CHECK(run(kDataStats, {folder / "tasks.jsonl"})["documents"] == 252);

    // A flipped bit in the ids is found by the manifest's hash.
    std::string ids = read_file(folder / "packed/story.train.bin");
    ids[100] = char(ids[100] ^ 1);
    std::ofstream(folder / "packed/story.train.bin", std::ios::binary) << ids;
    CHECK(contains(refusal(kDataStats, {folder / "packed"}), "manifest's hash"));
}

TEST_CASE("data verbs: wrong usage is one line that says how to mend it") {
    const Folder folder;
    CHECK(contains(refusal(kDataCollect, {"--out", folder / "a"}), "no source"));
    CHECK(contains(refusal(kDataCollect, {"--source", "code", "--out", folder / "a"}),
                   "--source wants NAME=VALUE"));
    CHECK(contains(refusal(kDataCollect, {"--source", "a=/nowhere", "--out", folder / "a"}),
                   "/nowhere"));
    CHECK(contains(refusal(kDataCollect, {"/tmp", "--weight", "b=2", "--out", folder / "a"}),
                   "source 'b'"));
    CHECK(contains(refusal(kDataSynth, {"--task", "sums=3", "--out", folder / "a"}),
                   "no task 'sums'"));
    CHECK(contains(refusal(kDataSynth, {"--task", "sort=x", "--out", folder / "a"}),
                   "positive number"));
    run(kDataSynth, {"--task", "sort=1", "--out", folder / "a"});
    CHECK(contains(refusal(kDataSynth, {"--task", "sort=1", "--out", folder / "a"}), "--force"));
    CHECK(run(kDataSynth, {"--task", "sort=2", "--out", folder / "a", "--force"})["documents"] ==
          2);
}

TEST_CASE("tokenizer verbs: wrong ids and missing text are refused") {
    const Folder folder;
    std::ofstream(folder / "text.txt") << "some words and some more words";
    run(kTokenizerTrain,
        {folder / "text.txt", "--vocab-size", "300", "--out", folder / "tokenizer"});
    const std::string tokenizer = folder / "tokenizer";
    CHECK(contains(refusal(kTokenizerEncode, {tokenizer}), "--prompt or --text"));
    CHECK(contains(refusal(kTokenizerDecode, {tokenizer}), "--tokens"));
    CHECK(contains(refusal(kTokenizerDecode, {tokenizer, "x"}), "ids"));
    CHECK(contains(refusal(kTokenizerDecode, {tokenizer, "1.5"}), "1.5 is no token id"));
    CHECK(contains(refusal(kTokenizerDecode, {tokenizer, "1000000"}), "1000000"));
    CHECK(contains(refusal(kTokenizerTrain, {folder / "none", "--out", folder / "t2"}), "none"));
}
