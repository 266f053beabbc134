#include "text/gguf_tokenizer.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.h"
#include "text/byte_letters.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace hadal::text {

namespace {

using Written = TokenizerContent::Written;

/// The format's numbers of token types.
enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

[[noreturn]] void corrupt(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat("tokenizer: ", what, ": ", where));
}
[[noreturn]] void unsupported(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::unsupported, concat("tokenizer: ", what, ": ", where));
}

std::vector<Split> splits_named(std::string_view name, std::string_view where) {
    if (name == "deepseek-v3") return v3_splits();
    if (name == "deepseek-coder") {  // also DeepSeek-Coder-V2
        return {{Split::Kind::regex, "[\\r\\n]"},
                {Split::Kind::regex, "\\s?\\p{L}+"},
                {Split::Kind::regex, "\\s?\\p{P}+"},
                {Split::Kind::regex, "[一-龥ࠀ-一가-\uD7FF]+"},
                {Split::Kind::regex, "\\p{N}"}};
    }
    unsupported(where, concat("the pre-tokeniser '", name,
                              "' is none that hadal knows by name (deepseek-v3, deepseek-coder); "
                              "convert with --no-tokenizer and add the model's tokenizer.json"));
}

/// Whether it is UTF-8, which JSON needs.
bool is_text(std::string_view bytes) {
    while (!bytes.empty()) {
        const Character character = decode_character(bytes);
        if (character.code == kInvalidCharacter) return false;
        bytes.remove_prefix(character.bytes);
    }
    return true;
}

class Builder {
  public:
    Builder(const GgufVocabulary& vocabulary, std::string_view where)
        : vocabulary_(vocabulary), where_(where) {}

    TokenizerContent build() {
        content_.splits = splits_named(vocabulary_.pretokenizer, where_);
        add_tokens();
        for (const std::string_view merge : vocabulary_.merges) add_merge(merge);
        content_.bos_id = token_id(vocabulary_.bos_id, "bos");
        content_.eos_id = token_id(vocabulary_.eos_id, "eos");
        content_.pad_id = token_id(vocabulary_.pad_id, "padding");
        content_.add_bos = vocabulary_.add_bos;
        if (vocabulary_.chat_template) add_chat_template(*vocabulary_.chat_template);
        return std::move(content_);
    }

  private:
    void add_tokens() {
        const auto& tokens = vocabulary_.tokens;
        if (tokens.empty() || tokens.size() > size_t(std::numeric_limits<int32_t>::max())) {
            corrupt(where_, concat("holds ", tokens.size(), " tokens"));
        }
        if (vocabulary_.types.size() != tokens.size()) {
            corrupt(where_, concat("has ", tokens.size(), " tokens, but types of ",
                                   vocabulary_.types.size()));
        }
        content_.tokens.resize(tokens.size());
        content_.written.resize(tokens.size(), Written::absent);
        for (size_t id = 0; id < tokens.size(); ++id) add_token(int32_t(id));
    }

    void add_token(int32_t id) {
        const std::string_view token = vocabulary_.tokens[size_t(id)];
        const int64_t type = vocabulary_.types[size_t(id)];
        if (type == kUnused) return;  // fills the embedding up to a round number
        if (token.empty()) corrupt(where_, concat("token ", id, " is empty"));
        if (!is_text(token)) corrupt(where_, concat("token ", id, " is not UTF-8"));
        const auto [known, is_new] = ids_.emplace(token, id);
        if (!is_new) {
            corrupt(where_, concat("ids ", known->second, " and ", id, " are both '", token, "'"));
        }
        if (type == kNormal) {
            const std::optional<std::string> bytes = from_byte_letters(token);
            content_.tokens[size_t(id)] = bytes ? *bytes : std::string(token);
            content_.written[size_t(id)] = bytes ? Written::letters : Written::literal;
        } else if (type == kControl || type == kUserDefined) {
            content_.tokens[size_t(id)] = token;
            content_.added_tokens.push_back({.id = id,
                                             .content = std::string(token),
                                             .special = type == kControl,
                                             .normalized = type == kUserDefined});
        } else {
            unsupported(where_, concat("token ", id, " is of type ", type,
                                       ", which byte-level vocabularies do not have"));
        }
    }

    void add_merge(std::string_view merge) {
        const size_t space = merge.find(' ');
        if (space == std::string_view::npos || merge.find(' ', space + 1) != merge.npos) {
            corrupt(where_, concat("merge ", content_.merges.size(),
                                   " is not two tokens with a space between"));
        }
        const std::string left(merge.substr(0, space)), right(merge.substr(space + 1));
        content_.merges.push_back({known(left), known(right), known(left + right)});
    }

    int32_t known(const std::string& token) const {
        const auto found = ids_.find(token);
        if (found != ids_.end()) return found->second;
        corrupt(where_, concat("merge ", content_.merges.size(), " names '",
                               is_text(token) ? token : "(not UTF-8)", "', which is no token"));
    }

    std::optional<int32_t> token_id(std::optional<int64_t> id, std::string_view name) const {
        if (!id) return std::nullopt;
        if (*id < 0 || *id >= int64_t(content_.tokens.size())) {
            corrupt(where_,
                    concat("the ", name, " token is ", *id, " of ", content_.tokens.size()));
        }
        return int32_t(*id);
    }

    void add_chat_template(std::string_view chat_template) {
        if (!is_text(chat_template)) corrupt(where_, "the chat template is not UTF-8");
        auto config = nlohmann::ordered_json::parse(tokenizer_config_json(content_));
        config["chat_template"] = chat_template;
        content_.config_json = config.dump(2) + "\n";
    }

    const GgufVocabulary& vocabulary_;
    const std::string_view where_;
    TokenizerContent content_;
    std::unordered_map<std::string, int32_t> ids_;  // by the token as the file writes it
};

}  // namespace

TokenizerContent tokenizer_content(const GgufVocabulary& vocabulary, std::string_view where) {
    if (vocabulary.model != "gpt2") {
        unsupported(where, concat("is of model '", vocabulary.model,
                                  "', hadal reads byte-level BPE ('gpt2')"));
    }
    return Builder(vocabulary, where).build();
}

}  // namespace hadal::text
