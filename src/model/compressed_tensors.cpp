#include "model/compressed_tensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.h"

namespace hadal::model {

namespace {

using nlohmann::json;
using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "pack-quantized";

[[noreturn]] void reject(std::string_view where, std::string_view key, std::string_view problem,
                         Error::Kind kind) {
    throw Error(kind, concat(where, ": 'quantization_config.", key, "' ", problem));
}

/// null counts as absent.
const json* find(const json& object, std::string_view key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const json* value) {
    return value == nullptr ? "missing"
                            : value->dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Each key has few values that hadal reads, so a message names the key, and those.
void require_one_of(const json& object, std::string_view key, std::span<const json> wanted,
                    std::string_view where) {
    const json* found = find(object, key);
    if (found != nullptr && std::ranges::find(wanted, *found) != wanted.end()) return;
    std::string known;
    for (const json& value : wanted) known += (known.empty() ? "" : " or ") + value.dump();
    reject(where, key,
           concat("is ", text_of(found), ", hadal reads ", known,
                  " (symmetric INT4 or INT8 in groups of 32)"),
           Error::Kind::unsupported);
}

void check_group(const json& group, std::string_view where) {
    const auto malformed = [&](std::string_view problem) {
        reject(where, "config_groups", problem, Error::Kind::bad_input);
    };
    if (!group.is_object()) malformed("holds a group that is not an object");
    const json* weights = find(group, "weights");
    if (weights == nullptr || !weights->is_object()) malformed("holds a group without 'weights'");
    if (find(group, "input_activations") != nullptr) {
        reject(where, "input_activations", "are quantised, which hadal reads no scheme of",
               Error::Kind::unsupported);
    }
    if (const json* format = find(group, "format"); format != nullptr && *format != kFormat) {
        reject(where, "config_groups.format",
               concat("is ", text_of(format), ", of compressed-tensors hadal reads ", kFormat),
               Error::Kind::unsupported);
    }
    const std::pair<const char*, std::vector<json>> wanted[] = {{"num_bits", {4, 8}},
                                                                {"type", {"int"}},
                                                                {"strategy", {"group"}},
                                                                {"group_size", {32}},
                                                                {"symmetric", {true}}};
    for (const auto& [key, values] : wanted) require_one_of(*weights, key, values, where);
    const json* order = find(*weights, "actorder");
    if (order != nullptr && *order != "weight" && *order != "static") {
        reject(where, "actorder",
               "puts the columns of groups in another order, which hadal does not read",
               Error::Kind::unsupported);
    }
}

Json group_of(const Json& targets, int bits) {
    const Json weights = {{"num_bits", bits},    {"type", "int"},       {"symmetric", true},
                          {"strategy", "group"}, {"group_size", 32},    {"dynamic", false},
                          {"actorder", nullptr}, {"observer", "minmax"}};
    return {{"targets", targets},
            {"weights", weights},
            {"input_activations", nullptr},
            {"output_activations", nullptr},
            {"format", kFormat}};
}

}  // namespace

Json compressed_tensors_config(const WeightBits& bits, const std::vector<std::string>& unfit) {
    // A layer's name goes before its class, so that "Linear" is what no other group names.
    const int linear = bits.rest == 16 ? bits.experts : bits.rest;
    Json groups = {{"group_0", group_of(Json::array({"Linear"}), linear)}};
    const auto add = [&](const char* target, int own) {
        if (own == 16 || own == linear) return;
        groups[concat("group_", groups.size())] = group_of(Json::array({target}), own);
    };
    add("re:.*mlp\\.experts\\..*", bits.experts);
    add("lm_head", bits.head);

    Json ignore = Json::array();
    if (bits.head == 16) ignore.push_back("lm_head");
    if (bits.rest == 16) {
        for (const char* layers : {"re:.*self_attn.*", "re:.*shared_experts.*",
                                   "re:.*mlp\\.(gate|up|gate_up|down)_proj$"})
            ignore.push_back(layers);
    } else {
        ignore.push_back("re:.*kv_b_proj$");
    }
    for (const char* layers : {"re:.*mlp\\.gate$", "re:.*eh_proj$", "re:.*shared_head.*"})
        ignore.push_back(layers);
    for (const std::string& layer : unfit) ignore.push_back(layer);
    return {{"quant_method", "compressed-tensors"},
            {"format", kFormat},
            {"quantization_status", "compressed"},
            {"config_groups", groups},
            {"ignore", ignore}};
}

void check_compressed_tensors(const json& quantization, std::string_view where) {
    const json* format = find(quantization, "format");
    // Mixed formats are each said by their groups.
    if (format == nullptr || (*format != kFormat && *format != "mixed-precision")) {
        reject(where, "format",
               concat("is ", text_of(format), ", of compressed-tensors hadal reads ", kFormat),
               Error::Kind::unsupported);
    }
    const json* groups = find(quantization, "config_groups");
    if (groups == nullptr || !groups->is_object() || groups->empty())
        reject(where, "config_groups", "is missing", Error::Kind::bad_input);
    for (const json& group : *groups) check_group(group, where);
}

}  // namespace hadal::model
