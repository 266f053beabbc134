#include "serve/text_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "serve/api_error.h"

namespace hadal::serve {

namespace {

using nlohmann::json;

constexpr size_t kMostNameBytes = 1024;

void read_sampling(const JsonFields& fields, const RequestLimits& limits, TextRequest& request) {
    infer::SamplingOptions& sampling = request.sampling;
    sampling.temperature = fields.number("temperature", 0, 2).value_or(1);
    sampling.top_p = fields.number("top_p", 0, 1).value_or(1);
    if (sampling.top_p == 0) throw ApiError::field("top_p", "'top_p' must be above 0");
    // −1 and 0 both keep all, as elsewhere.
    sampling.top_k =
        std::max<int64_t>(fields.integer("top_k", -1, int64_t(1) << 31).value_or(0), 0);
    sampling.min_p = fields.number("min_p", 0, 1).value_or(0);
    sampling.frequency_penalty = fields.number("frequency_penalty", -2, 2).value_or(0);
    sampling.presence_penalty = fields.number("presence_penalty", -2, 2).value_or(0);
    sampling.repetition_penalty = fields.number("repetition_penalty", 0.01, 100).value_or(1);
    constexpr auto kLeast = std::numeric_limits<int64_t>::min();
    const auto seed = fields.integer("seed", kLeast, std::numeric_limits<int64_t>::max());
    request.has_seed = seed.has_value();
    sampling.seed = uint64_t(seed.value_or(0));
    const auto biases = fields.object("logit_bias");
    if (!biases) return;
    const json& object = *fields.find("logit_bias");
    if (int64_t(object.size()) > limits.logit_biases) {
        throw ApiError::field("logit_bias", concat("'logit_bias' may have at most ",
                                                   limits.logit_biases, " entries"));
    }
    for (const auto& [key, value] : object.items()) {
        int32_t id = -1;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size() || id < 0) {
            throw ApiError::field("logit_bias", "a key of 'logit_bias' is no token id");
        }
        const auto bias = biases->number(key, -100, 100);
        if (!bias) {
            throw ApiError::field(biases->path(key), "a value of 'logit_bias' must be a number");
        }
        sampling.logit_bias.emplace_back(id, float(*bias));
    }
}

TextFormat format_of_source(const JsonFields& fields, std::string_view name, TextFormat::Kind kind,
                            int64_t most_bytes) {
    const json* value = fields.find(name);
    if (value == nullptr) return {};
    std::string source = value->is_string() ? value->get<std::string>() : fields.source(name);
    const std::string path = fields.path(name);
    if (kind != TextFormat::Kind::json_schema && !value->is_string()) {
        throw ApiError::field(path, concat("'", path, "' must be a string"));
    }
    if (int64_t(source.size()) > most_bytes) {
        throw ApiError::field(path, concat("'", path, "' is longer than ", most_bytes, " bytes"));
    }
    return {kind, std::move(source), path};
}

/// {"type": "text" | "json_object" | "json_schema"}.
TextFormat response_format(const JsonFields& fields, int64_t most_bytes) {
    const auto format = fields.object("response_format");
    if (!format) return {};
    const std::string type = format->text("type", kMostNameBytes).value_or("");
    if (type == "text") return {};
    if (type == "json_object") return {TextFormat::Kind::json_object, "", "response_format"};
    if (type != "json_schema") {
        throw ApiError::field("response_format.type",
                              "'response_format.type' must be text, json_object or json_schema");
    }
    const auto schema = format->object("json_schema");
    if (!schema || !schema->has("schema")) {
        throw ApiError::field("response_format.json_schema",
                              "'response_format.json_schema.schema' is missing");
    }
    schema->object("schema");
    return format_of_source(*schema, "schema", TextFormat::Kind::json_schema, most_bytes);
}

/// All the ways in which clients ask for a constrained text; at most one may be used.
TextFormat read_format(const JsonFields& fields, int64_t most_bytes) {
    using Kind = TextFormat::Kind;
    std::vector<TextFormat> formats = {response_format(fields, most_bytes)};
    const auto add = [&](const JsonFields& from, std::string_view name, Kind kind) {
        formats.push_back(format_of_source(from, name, kind, most_bytes));
    };
    add(fields, "guided_json", Kind::json_schema);
    add(fields, "guided_regex", Kind::regex);
    add(fields, "guided_grammar", Kind::ebnf);
    if (const auto outputs = fields.object("structured_outputs")) {
        add(*outputs, "json", Kind::json_schema);
        add(*outputs, "regex", Kind::regex);
        add(*outputs, "grammar", Kind::ebnf);
    }
    TextFormat chosen;
    for (TextFormat& format : formats) {
        if (format.kind == Kind::any) continue;
        if (chosen.kind != Kind::any) {
            throw ApiError::field(format.param, concat("'", format.param, "' and '", chosen.param,
                                                       "' cannot both say what the text is"));
        }
        chosen = std::move(format);
    }
    return chosen;
}

/// `default_tokens`: what a request gets that does not say, as far as this server's limit lets it.
void read_length(const JsonFields& fields, const RequestLimits& limits,
                 std::optional<int64_t> default_tokens, TextRequest& request) {
    constexpr int64_t kMost = int64_t(1) << 31;
    for (const std::string_view name : {"max_tokens", "max_completion_tokens"}) {
        const auto tokens = fields.integer(name, 0, kMost);
        if (tokens) request.max_tokens = tokens;
        if (tokens && limits.max_tokens > 0 && *tokens > limits.max_tokens) {
            throw ApiError::field(std::string(name), concat("'", name, "' may be at most ",
                                                            limits.max_tokens, " on this server"));
        }
    }
    if (!request.max_tokens) request.max_tokens = default_tokens;
    if (limits.max_tokens > 0) {
        request.max_tokens =
            std::min(request.max_tokens.value_or(limits.max_tokens), limits.max_tokens);
    }
    request.min_tokens = fields.integer("min_tokens", 0, kMost).value_or(0);
    if (request.max_tokens && request.min_tokens > *request.max_tokens) {
        throw ApiError::field("min_tokens", "'min_tokens' is larger than 'max_tokens'");
    }
}

}  // namespace

void read_text_fields(const JsonFields& fields, const RequestLimits& limits,
                      std::optional<int64_t> default_tokens, TextRequest& request) {
    request.model = fields.text("model", kMostNameBytes).value_or("");
    read_sampling(fields, limits, request);
    read_length(fields, limits, default_tokens, request);
    request.n = fields.integer("n", 1, limits.choices).value_or(1);
    request.stops = fields.texts("stop", size_t(limits.stops), size_t(limits.stop_bytes));
    if (const json* ids = fields.array("stop_token_ids", size_t(limits.stops))) {
        for (const json& id : *ids) {
            const bool valid = id.is_number_unsigned() && id.get<uint64_t>() < (1U << 31);
            if (!valid) {
                throw ApiError::field("stop_token_ids", "'stop_token_ids' must hold token ids");
            }
            request.stop_ids.push_back(id.get<int32_t>());
        }
    }
    request.ignore_eos = fields.boolean("ignore_eos").value_or(false);
    request.format = read_format(fields, limits.grammar_bytes);
    request.stream = fields.boolean("stream").value_or(false);
    if (const auto options = fields.object("stream_options")) {
        if (!request.stream) {
            throw ApiError::field("stream_options",
                                  "'stream_options' is only allowed together with 'stream': true");
        }
        request.include_usage = options->boolean("include_usage").value_or(false);
    }
    request.priority = int(fields.integer("priority", -1000, 1000).value_or(0));
    request.cache_salt = fields.text("cache_salt", 128).value_or("");
}

}  // namespace hadal::serve
