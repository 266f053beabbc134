#include "chat/template.h"

#include <nlohmann/json.hpp>

#include "chat/jinja_builtins.h"
#include "chat/jinja_lexer.h"
#include "chat/jinja_parser.h"
#include "core/error.h"
#include "core/file_map.h"
#include "text/added_tokens.h"

namespace hadal::chat {

namespace {

using Json = nlohmann::ordered_json;
using jinja::Source;

constexpr size_t kMaxSourceBytes = size_t(1) << 20;
constexpr int kMaxDepth = 64;  // of values in values

jinja::Value value_of(const Json& json, Source source, int depth = 0) {
    if (depth > kMaxDepth)
        throw Error(Error::Kind::bad_input, "messages are nested more than 64 levels deep");
    switch (json.type()) {
        case Json::value_t::boolean:
            return json.get<bool>();
        case Json::value_t::number_integer:
            return json.get<int64_t>();
        case Json::value_t::number_unsigned:
            if (json.get<uint64_t>() > uint64_t(INT64_MAX)) return json.get<double>();
            return json.get<int64_t>();
        case Json::value_t::number_float:
            return json.get<double>();
        case Json::value_t::string:
            return jinja::Value::text(json.get_ref<const std::string&>(), source);
        case Json::value_t::array: {
            jinja::List list;
            for (const Json& item : json) list.push_back(value_of(item, source, depth + 1));
            return list;
        }
        case Json::value_t::object: {
            jinja::Dict dict;
            for (const auto& [key, item] : json.items())
                dict.items.emplace_back(jinja::Text(key, source),
                                        value_of(item, source, depth + 1));
            return dict;
        }
        default:
            return {};
    }
}

void add_variables(const Json& json, Source source, jinja::Scope& scope) {
    if (json.is_null()) return;
    for (const auto& [name, value] : json.items()) scope.variables[name] = value_of(value, source);
}

std::vector<Piece> pieces_of(const jinja::Text& text) {
    std::vector<Piece> pieces;
    for (size_t begin = 0; begin < text.size();) {
        size_t end = begin + 1;
        while (end < text.size() && text.source(end) == text.source(begin)) ++end;
        pieces.push_back(
            {text.bytes().substr(begin, end - begin), text.source(begin) == Source::templ});
        begin = end;
    }
    return pieces;
}

}  // namespace

struct Template::Parsed {
    std::string source;
    jinja::Block block;
};

Template::Template(std::string_view source, std::string_view name) {
    if (source.size() > kMaxSourceBytes)
        throw Error(Error::Kind::bad_input, concat(name, " is longer than a megabyte"));
    parsed_ = std::make_unique<const Parsed>(Parsed{std::string(source), jinja::parse(source)});
}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

const std::string& Template::source() const {
    return parsed_->source;
}

std::optional<Template> Template::load(const std::filesystem::path& directory,
                                       std::string_view choice) {
    const auto file = directory / "chat_template.jinja";
    if (std::filesystem::exists(file)) return Template(read_file(file), file.string());
    const auto config = directory / "tokenizer_config.json";
    if (!std::filesystem::exists(config)) return std::nullopt;
    return from_config(read_file(config), choice);
}

std::optional<Template> Template::from_config(std::string_view tokenizer_config,
                                              std::string_view choice) {
    const Json config = Json::parse(tokenizer_config, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
    const Json& found = config["chat_template"];
    if (found.is_string()) return Template(found.get_ref<const std::string&>());
    if (!found.is_array()) return std::nullopt;
    for (const Json& one : found) {
        if (one.is_object() && one.value("name", "") == choice && one.contains("template") &&
            one["template"].is_string())
            return Template(one["template"].get_ref<const std::string&>());
    }
    return std::nullopt;
}

std::vector<Piece> Template::render(const Json& data, const Json& settings) const {
    jinja::Scope globals;
    jinja::add_functions(globals);
    add_variables(settings, Source::templ, globals);
    add_variables(data, Source::data, globals);
    jinja::Rendering rendering(globals);
    jinja::run_block(parsed_->block, rendering);
    return pieces_of(rendering.output);
}

std::vector<int32_t> encode(const text::Tokenizer& tokenizer, const std::vector<Piece>& pieces) {
    const text::AddedTokenFinder finder(tokenizer.content().added_tokens);
    std::vector<int32_t> ids;
    std::string plain;
    const auto flush = [&] {
        const std::vector<int32_t> more = tokenizer.encode(plain);
        ids.insert(ids.end(), more.begin(), more.end());
        plain.clear();
    };
    for (const Piece& piece : pieces) {
        if (!piece.control) {
            plain += piece.text;
            continue;
        }
        for (const auto& part : finder.split(piece.text)) {
            if (part.token == nullptr) {
                plain += part.text;
            } else {
                flush();
                ids.push_back(part.token->id);
            }
        }
    }
    flush();
    return ids;
}

std::string text_of(const std::vector<Piece>& pieces) {
    std::string text;
    for (const Piece& piece : pieces) text += piece.text;
    return text;
}

}  // namespace hadal::chat
