#include "text/tokenizer_json.h"

#include <simdjson.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/file_map.h"
#include "text/byte_letters.h"
#include "text/control_tokens.h"
#include "text/unicode.h"

namespace hadal::text {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;
using Written = TokenizerContent::Written;

// No vocabulary comes near; a larger id in a damaged file must not cost gigabytes.
constexpr int64_t kMaxId = 1 << 24;
// Following a file's structure recurses: a file must not choose how deep.
constexpr size_t kMaxDepth = 64;

/// Names in a file may be long and hold anything; a message may not.
std::string one_line(std::string text) {
    constexpr size_t kMaxBytes = 240;
    if (text.size() > kMaxBytes) text.replace(kMaxBytes, text.npos, "…");
    for (char& byte : text) {
        if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F) byte = '?';
    }
    return displayable(text);
}

/// Reads one tokenizer.json; holds what several parts of it need.
class Reader {
  public:
    explicit Reader(std::string_view where) : where_(where) {}

    TokenizerContent read(std::string_view file);
    void read_config(std::string_view config, TokenizerContent& content);

  private:
    /// A value that may be missing, which counts as null.
    using Value = std::optional<element>;

    [[noreturn]] void corrupt(const std::string& what) const {
        throw Error(Error::Kind::corrupt_file, concat(one_line(what), ": ", where_));
    }
    [[noreturn]] void unsupported(const std::string& what) const {
        throw Error(Error::Kind::unsupported, concat(one_line(what), ": ", where_,
                                                     " (byte-level BPE of the V3 family only)"));
    }
    element parse(simdjson::dom::parser& parser, std::string_view json) const;
    Value optional(element value, const char* key) const;
    element required(element value, const char* key) const;
    array list(element value, const char* key) const;
    std::string text(element value, const char* key) const;
    bool flag(element value, const char* key, bool otherwise) const;
    int32_t id(element value, std::string_view name) const;

    void read_model(element model, TokenizerContent& content);
    void read_vocab(element vocab, TokenizerContent& content);
    void read_merge(element merge, TokenizerContent& content);
    void read_added(element added, TokenizerContent& content);
    void read_normalizer(const Value& normalizer) const;
    void read_pretokenizer(element part, TokenizerContent& content);
    void read_split(element split, TokenizerContent& content) const;
    int32_t known(std::string_view token) const;
    std::optional<int32_t> control_token(element config, const char* key) const;

    std::string where_;
    simdjson::dom::parser parser_;  // keeps the file's strings
    // By the token as the file writes it; the keys are in parser_.
    std::unordered_map<std::string_view, int32_t> ids_;
    std::string joined_;  // of the merge being read
    bool byte_level_ = false;
};

/// As text for a message, short.
std::string shown(const std::optional<element>& value) {
    return value ? simdjson::minify(*value).substr(0, 60) : "null";
}

bool equals(const std::optional<element>& value, std::string_view text) {
    return value && value->is_string() && std::string_view(*value) == text;
}

element Reader::parse(simdjson::dom::parser& parser, std::string_view json) const {
    simdjson::error_code error = parser.allocate(json.size(), kMaxDepth);
    element parsed;
    if (!error) error = parser.parse(json.data(), json.size()).get(parsed);
    if (error) corrupt(concat("not valid JSON (", simdjson::error_message(error), ")"));
    return parsed;
}

/// Nothing if it is missing or null.
Reader::Value Reader::optional(element value, const char* key) const {
    object members;
    if (value.get(members)) corrupt(concat("expected an object that may hold '", key, "'"));
    Value found;
    for (const simdjson::dom::key_value_pair member : members) {
        if (member.key != key) continue;
        if (found) corrupt(concat("'", key, "' is there twice"));
        found = member.value;
    }
    if (found && found->is_null()) found.reset();
    return found;
}

element Reader::required(element value, const char* key) const {
    const Value found = optional(value, key);
    if (!found) corrupt(concat("'", key, "' is missing"));
    return *found;
}

array Reader::list(element value, const char* key) const {
    array items;
    if (required(value, key).get(items)) corrupt(concat("'", key, "' is not a list"));
    return items;
}

std::string Reader::text(element value, const char* key) const {
    std::string_view found;
    if (required(value, key).get(found)) corrupt(concat("'", key, "' is not a string"));
    return std::string(found);
}

bool Reader::flag(element value, const char* key, bool otherwise) const {
    const Value found = optional(value, key);
    if (!found) return otherwise;
    bool is_set = false;
    if (found->get(is_set)) corrupt(concat("'", key, "' is neither true nor false"));
    return is_set;
}

int32_t Reader::id(element value, std::string_view name) const {
    int64_t number = -1;
    if (value.get(number) || number < 0 || number >= kMaxId) {
        corrupt(concat("id of token '", name, "' is not a number in [0, ", kMaxId, ")"));
    }
    return int32_t(number);
}

int32_t Reader::known(std::string_view token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) corrupt(concat("a merge names '", token, "', which is no token"));
    return found->second;
}

/// "<0x0A>" → 10.
std::optional<uint8_t> fallback_byte(std::string_view token) {
    if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return {};
    int byte = 0;
    for (const char digit : {token[3], token[4]}) {
        const size_t value = std::string_view("0123456789ABCDEF").find(digit);
        if (value == std::string_view::npos) return {};
        byte = byte * 16 + int(value);
    }
    return uint8_t(byte);
}

void Reader::read_vocab(element vocab, TokenizerContent& content) {
    object entries;
    if (vocab.get(entries)) corrupt("'model.vocab' is not an object of tokens and ids");
    ids_.reserve(entries.size());
    int32_t largest = -1;
    for (const simdjson::dom::key_value_pair entry : entries) {
        if (entry.key.empty()) corrupt("'model.vocab' holds an empty token");
        const int32_t number = id(entry.value, entry.key);
        if (!ids_.emplace(entry.key, number).second) {
            corrupt(concat("token '", entry.key, "' is there twice"));
        }
        largest = std::max(largest, number);
    }
    content.tokens.resize(largest + 1);
    content.written.resize(largest + 1, Written::absent);
    for (const auto& [token, id] : ids_) {
        if (content.written[id] != Written::absent) {
            corrupt(concat("id ", id, " belongs to two tokens, one of them '", token, "'"));
        }
        const std::optional<std::string> bytes = from_byte_letters(token);
        content.tokens[id] = bytes ? *bytes : token;
        content.written[id] = bytes ? Written::letters : Written::literal;
        const std::optional<uint8_t> fallback = fallback_byte(token);
        if (content.byte_fallback && fallback) {
            content.tokens[id] = char(*fallback);
            content.written[id] = Written::byte_fallback;
        }
    }
}

void Reader::read_merge(element merge, TokenizerContent& content) {
    std::string_view left;
    std::string_view right;
    if (!merge.get(left)) {
        const size_t space = left.find(' ');
        if (space == std::string_view::npos || left.find(' ', space + 1) != left.npos) {
            corrupt(concat("merge '", left, "' is not two tokens with a space between"));
        }
        right = left.substr(space + 1);
        left = left.substr(0, space);
    } else {
        array two;
        if (merge.get(two) || two.size() != 2 || two.at(0).get(left) || two.at(1).get(right)) {
            corrupt("a merge is neither \"a b\" nor [\"a\", \"b\"]");
        }
    }
    joined_.assign(left).append(right);
    content.merges.push_back({known(left), known(right), known(joined_)});
}

void Reader::read_model(element model, TokenizerContent& content) {
    const Value type = optional(model, "type");
    if (type && !equals(type, "BPE")) unsupported(concat("model type ", shown(type)));
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        const Value value = optional(model, affix);
        if (value && !equals(value, "")) unsupported(concat("'", affix, "' ", shown(value)));
    }
    const Value dropout = optional(model, "dropout");
    double probability = 0;
    if (dropout && (dropout->get(probability) || probability != 0)) unsupported("merge dropout");
    content.ignore_merges = flag(model, "ignore_merges", false);
    content.byte_fallback = flag(model, "byte_fallback", false);
    read_vocab(required(model, "vocab"), content);
    for (const element merge : list(model, "merges")) read_merge(merge, content);
}

void Reader::read_added(element added, TokenizerContent& content) {
    AddedToken token{.id = 0, .content = text(added, "content")};
    if (token.content.empty()) corrupt("an added token is empty");
    token.id = id(required(added, "id"), token.content);
    token.special = flag(added, "special", false);
    token.normalized = flag(added, "normalized", !token.special);
    token.strip_left = flag(added, "lstrip", false);
    token.strip_right = flag(added, "rstrip", false);
    token.single_word = flag(added, "single_word", false);
    const std::string_view name = required(added, "content").get_string().value();  // in parser_
    const auto [known, is_new] = ids_.emplace(name, token.id);
    if (known->second != token.id) {
        corrupt(concat("added token '", token.content, "' has the ids ", known->second, " and ",
                       token.id));
    }
    if (size_t(token.id) >= content.tokens.size()) {
        content.tokens.resize(token.id + 1);
        content.written.resize(token.id + 1, Written::absent);
    }
    if (is_new && !content.tokens[token.id].empty()) {
        corrupt(
            concat("id ", token.id, " belongs to two tokens, one of them '", token.content, "'"));
    }
    content.tokens[token.id] = token.content;  // an added token is its own text, whatever letters
    content.added_tokens.push_back(std::move(token));
}

void Reader::read_normalizer(const Value& normalizer) const {
    if (!normalizer) return;
    const Value type = optional(*normalizer, "type");
    if (!equals(type, "Sequence")) unsupported(concat("normalizer ", shown(type)));
    for (const element part : list(*normalizer, "normalizers")) read_normalizer(part);
}

void Reader::read_split(element split, TokenizerContent& content) const {
    const Value behavior = optional(split, "behavior");
    if (!equals(behavior, "Isolated")) unsupported(concat("split behavior ", shown(behavior)));
    flag(split, "invert", false);  // isolated pieces are the same either way
    const element pattern = required(split, "pattern");
    if (optional(pattern, "Regex")) {
        content.splits.push_back({Split::Kind::regex, text(pattern, "Regex")});
    } else {
        content.splits.push_back({Split::Kind::literal, text(pattern, "String")});
    }
}

void Reader::read_pretokenizer(element part, TokenizerContent& content) {
    const std::string type = text(part, "type");
    if (type == "Sequence") {
        for (const element inner : list(part, "pretokenizers")) read_pretokenizer(inner, content);
        return;
    }
    if (byte_level_) unsupported(concat("pre-tokenizer '", type, "' after ByteLevel"));
    if (type == "Split") {
        read_split(part, content);
    } else if (type == "Digits") {
        content.splits.push_back({flag(part, "individual_digits", false)
                                      ? Split::Kind::individual_digits
                                      : Split::Kind::digits,
                                  ""});
    } else if (type == "ByteLevel") {
        byte_level_ = true;
        required(part, "add_prefix_space");
        if (flag(part, "add_prefix_space", true)) unsupported("ByteLevel with 'add_prefix_space'");
        if (flag(part, "use_regex", true)) content.splits.push_back({Split::Kind::byte_level, ""});
    } else {
        unsupported(concat("pre-tokenizer '", type, "'"));
    }
}

TokenizerContent Reader::read(std::string_view json) {
    const element file = parse(parser_, json);
    TokenizerContent content;
    read_model(required(file, "model"), content);
    if (optional(file, "added_tokens")) {
        for (const element token : list(file, "added_tokens")) read_added(token, content);
    }
    read_normalizer(optional(file, "normalizer"));
    read_pretokenizer(required(file, "pre_tokenizer"), content);
    if (!byte_level_) unsupported("a pre-tokenizer without ByteLevel");
    return content;
}

std::optional<int32_t> Reader::control_token(element config, const char* key) const {
    const Value value = optional(config, key);
    if (!value) return std::nullopt;
    const std::string name = value->is_object() ? text(*value, "content") : text(config, key);
    const auto found = ids_.find(name);
    if (found == ids_.end()) {
        corrupt(concat("'", key, "' is '", name, "', which is no token"));
    }
    return found->second;
}

void Reader::read_config(std::string_view json, TokenizerContent& content) {
    where_ = concat("tokenizer_config.json beside ", where_);
    simdjson::dom::parser parser;
    const element config = parse(parser, json);
    content.config_json = json;
    content.bos_id = control_token(config, "bos_token");
    content.eos_id = control_token(config, "eos_token");
    content.pad_id = control_token(config, "pad_token");
    content.add_bos = flag(config, "add_bos_token", false);
    if (content.add_bos && !content.bos_id) corrupt("'add_bos_token' is true without 'bos_token'");
}

/// Without tokenizer_config.json: V3's names, where the tokenizer has them.
void find_control_tokens(TokenizerContent& content) {
    for (const AddedToken& added : content.added_tokens) {
        if (added.content == kBeginOfSentence) content.bos_id = added.id;
        if (added.content == kEndOfSentence) content.eos_id = added.id;
        if (added.content == kPad) content.pad_id = added.id;
    }
}

}  // namespace

TokenizerContent parse_tokenizer(std::string_view tokenizer_json,
                                 const std::optional<std::string>& config_json,
                                 std::string_view where) {
    Reader reader(where);
    TokenizerContent content = reader.read(tokenizer_json);
    if (config_json) {
        reader.read_config(*config_json, content);
    } else {
        find_control_tokens(content);
    }
    return content;
}

TokenizerContent read_tokenizer(const std::filesystem::path& path) {
    const std::filesystem::path file =
        std::filesystem::is_directory(path) ? path / "tokenizer.json" : path;
    const std::filesystem::path config = file.parent_path() / "tokenizer_config.json";
    std::optional<std::string> config_json;
    if (std::filesystem::exists(config)) config_json = read_file(config);
    return parse_tokenizer(read_file(file), config_json, file.string());
}

}  // namespace hadal::text
