#include "core/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"

namespace hadal {

namespace {

// Writing a value out again recurses: a file must not choose how deep.
constexpr int kMaxDepth = 200;

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view where) {
    using nlohmann::json;
    const auto refuse = [&](std::string_view reason) {
        throw Error(Error::Kind::corrupt_file, concat(reason, ": ", where));
    };
    // The library would take a zero byte for the end of the text, and the last of two equal keys
    // for both.
    if (text.find('\0') != std::string_view::npos) refuse("JSON holds a zero byte");
    std::vector<std::set<std::string>> keys;
    const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > kMaxDepth) refuse(concat("JSON nests deeper than ", kMaxDepth, " levels"));
        if (event == json::parse_event_t::object_start) keys.emplace_back();
        if (event == json::parse_event_t::object_end) keys.pop_back();
        if (event == json::parse_event_t::key &&
            !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
            refuse(concat("JSON object has the key ", parsed.dump(), " twice"));
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), check);
    } catch (const json::parse_error& error) {
        refuse(concat("not valid JSON at byte ", error.byte));
    } catch (const json::out_of_range&) {
        refuse("JSON holds a number out of range");
    }
    return {};
}

}  // namespace hadal
