#include "cli/arguments.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"

using namespace hadal;
using namespace hadal::cli;

namespace {

const Command kSample = {
    .name = "sample",
    .summary = "A verb for tests",
    .example = "hadal sample models/tiny",
    .options =
        {{.name = "MODEL", .help = "a model", .required = true},
         {.name = "FILE", .help = "files", .repeated = true},
         {.name = "--count", .value = "N", .help = "how many", .fallback = "7", .letter = 'n'},
         {.name = "--rate", .value = "R", .help = "a rate"},
         {.name = "--set", .value = "K=V", .help = "a pair", .repeated = true},
         {.name = "--to", .value = "TYPE", .help = "a type", .choices = {"fp8", "int4"}},
         {.name = "--force", .help = "a flag"}},
};
const Command kTrain = {.name = "tokenizer train", .summary = "s", .example = "e"};
const Command kEncode = {.name = "tokenizer encode", .summary = "s", .example = "e"};

Arguments parse(const std::vector<std::string>& words) {
    return Arguments(kSample, words, "");
}

std::string message(const std::vector<std::string>& words) {
    try {
        parse(words);
    } catch (const Error& error) {
        CHECK(error.exit_status() == 2);
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("arguments: positionals, options, flags and fallbacks") {
    const Arguments plain = parse({"m"});
    CHECK(plain.text("MODEL") == "m");
    CHECK(plain.integer("--count") == 7);
    CHECK_FALSE(plain.flag("--force"));
    CHECK_FALSE(plain.has("--rate"));
    CHECK(plain.texts("--set").empty());

    const Arguments full = parse({"--set=a=1", "m", "-n", "3", "x", "y", "--force", "--set", "b=2",
                                  "--rate=-1e-3", "--", "--z", "--json", "-t"});
    CHECK(full.integer("--count") == 3);
    CHECK(full.flag("--force"));
    CHECK(full.number("--rate") == -1e-3);
    CHECK(full.texts("--set") == std::vector<std::string>{"a=1", "b=2"});
    CHECK(full.texts("FILE") == std::vector<std::string>{"x", "y", "--z", "--json", "-t"});
    CHECK_FALSE(full.globals().json);
}

TEST_CASE("arguments: a negative number and a lone dash are values, not options") {
    CHECK(parse({"-"}).text("MODEL") == "-");
    CHECK(parse({"m", "-n", "-4"}).integer("--count") == -4);
    CHECK(parse({"m", "-5"}).texts("FILE") == std::vector<std::string>{"-5"});
}

TEST_CASE("arguments: global options") {
    const Arguments arguments = parse(
        {"m", "--json", "--threads", "3", "--seed=11", "--dtype", "f32", "--isa", "portable"});
    CHECK(arguments.globals().json);
    CHECK(arguments.globals().threads == 3);
    CHECK(arguments.seed() == 11);
    CHECK(arguments.globals().dtype == DType::f32);
    CHECK(arguments.globals().isa == Isa::portable);
    CHECK(Arguments(kSample, std::vector<std::string>{"m"}, "portable").globals().isa ==
          Isa::portable);
}

TEST_CASE("arguments: what is wrong is named, with the nearest known name") {
    struct Case {
        std::vector<std::string> words;
        std::string part;
    };
    const std::vector<Case> cases = {
        {{}, "MODEL is missing"},
        {{"m", "--cuont", "3"}, "did you mean '--count'"},
        {{"m", "--thread", "3"}, "did you mean '--threads'"},
        {{"m", "-n"}, "--count wants a value: N"},
        {{"m", "--force=1"}, "--force takes no value"},
        {{"m", "--rate", "1", "--rate", "2"}, "--rate is given twice"},
        {{"m", "--to", "fp9"}, "did you mean 'fp8'"},
        {{"m", "--threads", "0"}, "at least 1"},
        {{"m", "--threads", "two"}, "whole number"},
        {{"m", "--seed", "-1"}, "at least 0"},
        {{"m", "--device", "cuda"}, "--device cpu"},
        {{"m", "--isa", "avx3"}, "portable, avx2, avx512"},
    };
    for (const Case& c : cases) {
        const std::string text = message(c.words);
        CAPTURE(c.part);
        CAPTURE(text);
        CHECK(text.find(c.part) != std::string::npos);
    }
    CHECK_THROWS_AS(parse({"m", "-n", "3x"}).integer("--count"), Error);
    CHECK_THROWS_AS(parse({"m", "--rate", "nan"}).number("--rate"), Error);
    CHECK_THROWS_AS(parse({"m", "-n", "3"}).integer("--count", 4), Error);
    CHECK(parse({"m", "-n", "1,2,9"}).integers("--count", 1) == std::vector<int64_t>{1, 2, 9});
    CHECK_THROWS_AS(parse({"m", "-n", "1,,9"}).integers("--count"), Error);
}

TEST_CASE("arguments: --help is enough by itself") {
    CHECK(parse({"--help"}).globals().help);
    const std::string text = help_text(kSample);
    CHECK(text.starts_with("Example:\n  hadal sample models/tiny"));
    CHECK(text.find("-n, --count N") != std::string::npos);
    CHECK(text.find("--threads N") != std::string::npos);
}

TEST_CASE("find_command: verbs, nouns, and the nearest when unknown") {
    const std::vector<const Command*> commands = {&kSample, &kTrain, &kEncode};
    const auto find = [&](const std::vector<std::string>& words) {
        size_t consumed = 0;
        const Command& command = find_command(commands, words, consumed);
        return std::string(command.name) + "/" + std::to_string(consumed);
    };
    CHECK(find({"sample", "train"}) == "sample/1");
    CHECK(find({"tokenizer", "train", "x"}) == "tokenizer train/2");
    CHECK_THROWS_WITH_AS(find({"smaple"}), doctest::Contains("did you mean 'sample'"), Error);
    CHECK_THROWS_WITH_AS(find({"tokenizer"}), doctest::Contains("one of train, encode"), Error);
    CHECK_THROWS_WITH_AS(find({"tokenizer", "encoed"}), doctest::Contains("did you mean 'encode'"),
                         Error);
}
