#include "text/tokenizer_json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"
#include "text/byte_letters.h"
#include "text/control_tokens.h"

namespace hadal::text {
namespace {

using nlohmann::json;
using Written = TokenizerContent::Written;

// No vocabulary comes near; a larger id in a damaged file must not cost gigabytes.
constexpr int64_t kMaxId = 1 << 24;

/// Reads one tokenizer.json; holds what several parts of it need.
class Reader {
  public:
    explicit Reader(std::string where) : where_(std::move(where)) {}

    TokenizerContent read(const json& file);
    void read_config(const json& config, TokenizerContent& content) const;

  private:
    [[noreturn]] void corrupt(const std::string& what) const {
        throw Error(Error::Kind::corrupt_file, concat(what, ": ", where_));
    }
    [[noreturn]] void unsupported(const std::string& what) const {
        throw Error(Error::Kind::unsupported,
                    concat(what, ": ", where_, " (byte-level BPE of the V3 family only)"));
    }
    /// The value of `key`; null if it is missing.
    const json& optional(const json& object, const char* key) const;
    const json& required(const json& object, const char* key) const;
    std::string text(const json& object, const char* key) const;
    bool flag(const json& object, const char* key, bool otherwise) const;
    int32_t id(const json& value, const std::string& name) const;

    void read_model(const json& model, TokenizerContent& content);
    void read_vocab(const json& vocab, TokenizerContent& content);
    void read_merge(const json& merge, TokenizerContent& content) const;
    void read_added(const json& added, TokenizerContent& content);
    void read_normalizer(const json& normalizer) const;
    void read_pretokenizer(const json& part, TokenizerContent& content);
    void read_split(const json& split, TokenizerContent& content) const;
    int32_t known(const std::string& token) const;
    std::optional<int32_t> control_token(const json& config, const char* key) const;

    std::string where_;
    std::unordered_map<std::string, int32_t> ids_;  // by the token as the file writes it
    bool byte_level_ = false;
};

const json& Reader::optional(const json& object, const char* key) const {
    static const json null;
    if (!object.is_object()) corrupt(concat("expected an object that may hold '", key, "'"));
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
}

const json& Reader::required(const json& object, const char* key) const {
    const json& value = optional(object, key);
    if (value.is_null()) corrupt(concat("'", key, "' is missing"));
    return value;
}

std::string Reader::text(const json& object, const char* key) const {
    const json& value = required(object, key);
    if (!value.is_string()) corrupt(concat("'", key, "' is not a string"));
    return value.get<std::string>();
}

bool Reader::flag(const json& object, const char* key, bool otherwise) const {
    const json& value = optional(object, key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) corrupt(concat("'", key, "' is neither true nor false"));
    return value.get<bool>();
}

int32_t Reader::id(const json& value, const std::string& name) const {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() >= kMaxId) {
        corrupt(concat("id of token '", name, "' is not a number in [0, ", kMaxId, ")"));
    }
    return value.get<int32_t>();
}

int32_t Reader::known(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) corrupt(concat("a merge names '", token, "', which is no token"));
    return found->second;
}

/// "<0x0A>" → 10.
std::optional<uint8_t> fallback_byte(const std::string& token) {
    if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return {};
    int byte = 0;
    for (const char digit : {token[3], token[4]}) {
        const size_t value = std::string_view("0123456789ABCDEF").find(digit);
        if (value == std::string_view::npos) return {};
        byte = byte * 16 + int(value);
    }
    return uint8_t(byte);
}

void Reader::read_vocab(const json& vocab, TokenizerContent& content) {
    if (!vocab.is_object()) corrupt("'model.vocab' is not an object of tokens and ids");
    ids_.reserve(vocab.size());
    int32_t largest = -1;
    for (const auto& [token, value] : vocab.items()) {
        if (token.empty()) corrupt("'model.vocab' holds an empty token");
        ids_[token] = id(value, token);
        largest = std::max(largest, ids_[token]);
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

void Reader::read_merge(const json& merge, TokenizerContent& content) const {
    std::string left;
    std::string right;
    if (merge.is_string()) {
        const std::string both = merge.get<std::string>();
        const size_t space = both.find(' ');
        if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos) {
            corrupt(concat("merge '", both, "' is not two tokens with a space between"));
        }
        left = both.substr(0, space);
        right = both.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
    } else {
        corrupt("a merge is neither \"a b\" nor [\"a\", \"b\"]");
    }
    content.merges.push_back({known(left), known(right), known(left + right)});
}

void Reader::read_model(const json& model, TokenizerContent& content) {
    const json& type = optional(model, "type");
    if (!type.is_null() && type != "BPE") unsupported(concat("model type ", type.dump()));
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        const json& value = optional(model, affix);
        if (!value.is_null() && value != "") unsupported(concat("'", affix, "' ", value.dump()));
    }
    const json& dropout = optional(model, "dropout");
    if (!dropout.is_null() && dropout != 0) unsupported("merge dropout");
    content.ignore_merges = flag(model, "ignore_merges", false);
    content.byte_fallback = flag(model, "byte_fallback", false);
    read_vocab(required(model, "vocab"), content);
    const json& merges = required(model, "merges");
    if (!merges.is_array()) corrupt("'model.merges' is not a list");
    for (const json& merge : merges) read_merge(merge, content);
}

void Reader::read_added(const json& added, TokenizerContent& content) {
    AddedToken token{.id = 0, .content = text(added, "content")};
    if (token.content.empty()) corrupt("an added token is empty");
    token.id = id(required(added, "id"), token.content);
    token.special = flag(added, "special", false);
    token.normalized = flag(added, "normalized", !token.special);
    token.strip_left = flag(added, "lstrip", false);
    token.strip_right = flag(added, "rstrip", false);
    token.single_word = flag(added, "single_word", false);
    const auto [known, is_new] = ids_.emplace(token.content, token.id);
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

void Reader::read_normalizer(const json& normalizer) const {
    if (normalizer.is_null()) return;
    if (normalizer.is_object() && optional(normalizer, "type") == "Sequence") {
        const json& parts = required(normalizer, "normalizers");
        if (!parts.is_array()) corrupt("'normalizers' is not a list");
        for (const json& part : parts) read_normalizer(part);
        return;
    }
    unsupported(concat("normalizer ", optional(normalizer, "type").dump()));
}

void Reader::read_split(const json& split, TokenizerContent& content) const {
    const json& behavior = optional(split, "behavior");
    if (behavior != "Isolated") unsupported(concat("split behavior ", behavior.dump()));
    flag(split, "invert", false);  // isolated pieces are the same either way
    const json& pattern = required(split, "pattern");
    if (!optional(pattern, "Regex").is_null()) {
        content.splits.push_back({Split::Kind::regex, text(pattern, "Regex")});
    } else {
        content.splits.push_back({Split::Kind::literal, text(pattern, "String")});
    }
}

void Reader::read_pretokenizer(const json& part, TokenizerContent& content) {
    const std::string type = text(part, "type");
    if (type == "Sequence") {
        const json& parts = required(part, "pretokenizers");
        if (!parts.is_array()) corrupt("'pretokenizers' is not a list");
        for (const json& inner : parts) read_pretokenizer(inner, content);
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

TokenizerContent Reader::read(const json& file) {
    TokenizerContent content;
    read_model(required(file, "model"), content);
    const json& added = optional(file, "added_tokens");
    if (!added.is_null() && !added.is_array()) corrupt("'added_tokens' is not a list");
    for (const json& token : added) read_added(token, content);
    read_normalizer(optional(file, "normalizer"));
    read_pretokenizer(required(file, "pre_tokenizer"), content);
    if (!byte_level_) unsupported("a pre-tokenizer without ByteLevel");
    return content;
}

std::optional<int32_t> Reader::control_token(const json& config, const char* key) const {
    const json& value = optional(config, key);
    if (value.is_null()) return std::nullopt;
    const std::string name = value.is_object() ? text(value, "content") : text(config, key);
    const auto found = ids_.find(name);
    if (found == ids_.end()) {
        corrupt(concat("'", key, "' of tokenizer_config.json is '", name, "', which is no token"));
    }
    return found->second;
}

void Reader::read_config(const json& config, TokenizerContent& content) const {
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
    Reader reader{std::string(where)};
    TokenizerContent content = reader.read(parse_json(tokenizer_json, where));
    if (config_json) {
        content.config_json = *config_json;
        reader.read_config(parse_json(*config_json, concat("tokenizer_config.json beside ", where)),
                           content);
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
