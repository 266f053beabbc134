#include "checkpoint/shard_index.h"

#include <doctest/doctest.h>

#include "checkpoint/printable.h"
#include "core/error.h"

using namespace hadal;
using namespace hadal::checkpoint;

namespace {

std::string refusal(std::string_view text) {
    try {
        parse_shard_index(text, "m/index.json");
    } catch (const Error& error) {
        CHECK(error.kind() == Error::Kind::corrupt_file);
        CHECK(std::string(error.what()).find("m/index.json") != std::string::npos);
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("shard index: what is written is read back, whatever the names") {
    const WeightMap map = {{"a.weight", "model-00001-of-00002.safetensors"},
                           {"with \"quotes\" and \\", "model-00002-of-00002.safetensors"},
                           {"Größe \n 漢字", "model-00002-of-00002.safetensors"}};
    CHECK(parse_shard_index(shard_index_text(map, 123), "x") == map);
    CHECK(parse_shard_index(shard_index_text({}, 0), "x").empty());
}

TEST_CASE("shard index: metadata and other keys are passed over, whatever they hold") {
    const WeightMap map = {{"w", "f.safetensors"}};
    for (const char* other :
         {"\"metadata\": {\"total_size\": \"many\"}", "\"metadata\": null",
          "\"x\": [1, {\"y\": 2}]", "\"x\": {\"weight_map\": {\"q\": \"r\"}}", "\"x\": -1.5e3"}) {
        CAPTURE(other);
        const std::string before =
            concat("{", other, ", \"weight_map\": {\"w\": \"f.safetensors\"}}");
        const std::string after =
            concat("{\"weight_map\": {\"w\": \"f.safetensors\"}, ", other, "}");
        CHECK(parse_shard_index(before, "x") == map);
        CHECK(parse_shard_index(after, "x") == map);
    }
}

TEST_CASE("shard index: a file name may not lead out of the model's directory") {
    for (const char* file : {"", ".", "..", "../f", "/etc/passwd", "a/b", "a/../../f"}) {
        CAPTURE(file);
        const std::string text = concat("{\"weight_map\": {\"w\": \"", file, "\"}}");
        CHECK(refusal(text).find("no file name") != std::string::npos);
    }
}

TEST_CASE("shard index: what is no index is refused") {
    for (const char* text :
         {"", "[]", "{}", "3", "{\"weight_map\": 3}", "{\"weight_map\": {\"w\": 3}}",
          "{\"weight_map\": {\"w\": null}}", "{\"weight_map\": {\"w\": [\"f\"]}}",
          "{\"weight_map\": {\"w\": \"f\"", "{\"weight_map\": {\"w\": \"f\", \"w\": \"g\"}}"}) {
        CAPTURE(text);
        CHECK(!refusal(text).empty());
    }
    CHECK(refusal(std::string_view("{\"weight_map\": {}}\0", 19)).find("zero byte") !=
          std::string::npos);
}

TEST_CASE("printable: control characters show as their codes, and no name fills the screen") {
    CHECK(printable("a.weight") == "'a.weight'");
    CHECK(printable("a\nb\x7F\x01") == "'a\\x0ab\\x7f\\x01'");
    CHECK(printable("漢") == "'漢'");
    const std::string longest = printable(std::string(10'000, 'x'));
    CHECK(longest.size() < 220);
    CHECK(longest.ends_with("…'"));
}
