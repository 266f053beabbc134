// config.json is written by others: whatever stands in it, it is understood or refused.
#include "model/config.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "model/parameters.h"

using namespace hadal;
using namespace hadal::model;
using nlohmann::json;

namespace {

const std::vector<json>& odd_values() {
    static const std::vector<json> values = {
        nullptr,
        true,
        false,
        0,
        1,
        -1,
        2,
        7,
        1000000,
        int64_t(1) << 40,
        INT64_MAX,
        INT64_MIN,
        UINT64_MAX,
        0.5,
        -2.5,
        1e300,
        "",
        "sigmoid",
        "noaux_tc",
        "x",
        json::array(),
        json::array({1, 2}),
        json::object(),
        json::parse(R"({"type": "yarn"})"),
        json::parse(R"({"type": "yarn", "factor": 0, "original_max_position_embeddings": 64})"),
        json::parse(R"({"quant_method": "gptq"})")};
    return values;
}

/// True if the text is understood; then its meaning must survive being written and read again.
bool understood(const json& object) {
    ModelConfig config;
    try {
        config = parse_config(object.dump(), "config.json");
    } catch (const Error& error) {
        REQUIRE(error.exit_status() == 2);
        const std::string message = error.what();
        REQUIRE(message.find("config.json") != std::string::npos);
        REQUIRE(message.size() < 600);
        return false;
    }
    const ParameterCount count = count_parameters(config);
    REQUIRE(count.total > 0);
    REQUIRE(count.active > 0);
    REQUIRE(count.active <= count.total + count.embedding);
    REQUIRE(kv_bytes_per_token(config) > 0);
    REQUIRE(std::isfinite(config.attention_scale()));
    const std::string text = config_text(config);
    REQUIRE(config_text(parse_config(text, "again")) == text);
    return true;
}

json of(std::string_view preset_name) {
    return json::parse(config_text(preset(preset_name)));
}

}  // namespace

TEST_CASE("config: every preset is understood") {
    for (const std::string& name : preset_names()) {
        CAPTURE(name);
        CHECK(understood(of(name)));
    }
}

TEST_CASE(
    "config: one key changed to anything is understood or refused, never both and never a crash") {
    int accepted = 0, refused = 0;
    for (const char* name : {"tiny", "mini", "v3-16b"}) {
        const json base = of(name);
        for (const auto& [key, value] : base.items()) {
            for (const json& odd : odd_values()) {
                CAPTURE(name);
                CAPTURE(key);
                CAPTURE(odd.dump());
                json changed = base;
                changed[key] = odd;
                ++(understood(changed) ? accepted : refused);
            }
            json less = base;
            less.erase(key);
            CAPTURE(key);
            ++(understood(less) ? accepted : refused);
        }
    }
    CHECK(accepted > 100);
    CHECK(refused > 500);
}

TEST_CASE("config: several keys changed at a time are understood or refused") {
    RandomSequence random(4);
    for (int round = 0; round < 2000; ++round) {
        json object = of(round % 2 == 0 ? "tiny" : "mini");
        std::vector<std::string> keys;
        for (const auto& [key, value] : object.items()) keys.push_back(key);
        for (uint64_t i = 2 + random.below(4); i-- > 0;) {
            json& value = object[keys[random.below(keys.size())]];
            value = random.below(3) == 0 ? odd_values()[random.below(odd_values().size())]
                                         : json(1 + random.below(100));
        }
        CAPTURE(object.dump());
        understood(object);
    }
}
