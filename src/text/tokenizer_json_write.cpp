// The writing half of tokenizer_json.h.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_map.h"
#include "text/byte_letters.h"
#include "text/control_tokens.h"
#include "text/tokenizer_json.h"
#include "text/v3_template.h"

namespace hadal::text {
namespace {

using nlohmann::ordered_json;
using Written = TokenizerContent::Written;

std::string written_name(const TokenizerContent& content, int32_t id) {
    const std::string& bytes = content.tokens[id];
    switch (content.written[id]) {
        case Written::letters:
            return to_byte_letters(bytes);
        case Written::byte_fallback: {
            constexpr const char* kDigits = "0123456789ABCDEF";
            const unsigned char byte = static_cast<unsigned char>(bytes[0]);
            return std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">";
        }
        case Written::literal:
        case Written::absent:
            break;
    }
    return bytes;
}

ordered_json model_json(const TokenizerContent& content) {
    ordered_json vocab = ordered_json::object();
    std::vector<bool> added(content.tokens.size());
    for (const AddedToken& token : content.added_tokens) added[token.id] = true;
    auto& entries = vocab.get_ref<ordered_json::object_t&>();
    for (size_t id = 0; id < content.tokens.size(); ++id) {
        if (content.written[id] == Written::absent) continue;
        // Appended, not looked up: names are distinct, and a search would be linear.
        entries.emplace_back(added[id] ? content.tokens[id] : written_name(content, int32_t(id)),
                             id);
    }
    ordered_json merges = ordered_json::array();
    for (const Merge& merge : content.merges) {
        merges.push_back({written_name(content, merge.left), written_name(content, merge.right)});
    }
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", content.byte_fallback},
            {"ignore_merges", content.ignore_merges},
            {"vocab", std::move(vocab)},
            {"merges", std::move(merges)}};
}

ordered_json byte_level_json(bool use_regex) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", use_regex}};
}

ordered_json pretokenizer_json(const std::vector<Split>& splits) {
    ordered_json parts = ordered_json::array();
    bool use_regex = false;
    for (const Split& split : splits) {
        switch (split.kind) {
            case Split::Kind::regex:
            case Split::Kind::literal:
                parts.push_back(
                    {{"type", "Split"},
                     {"pattern",
                      {{split.kind == Split::Kind::regex ? "Regex" : "String", split.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
                break;
            case Split::Kind::digits:
            case Split::Kind::individual_digits:
                parts.push_back(
                    {{"type", "Digits"},
                     {"individual_digits", split.kind == Split::Kind::individual_digits}});
                break;
            case Split::Kind::byte_level:  // always the last
                use_regex = true;
                break;
        }
    }
    parts.push_back(byte_level_json(use_regex));
    return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

ordered_json added_tokens_json(const TokenizerContent& content) {
    std::vector<AddedToken> added = content.added_tokens;
    std::sort(added.begin(), added.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    ordered_json tokens = ordered_json::array();
    for (const AddedToken& token : added) {
        tokens.push_back({{"id", token.id},
                          {"content", token.content},
                          {"single_word", token.single_word},
                          {"lstrip", token.strip_left},
                          {"rstrip", token.strip_right},
                          {"normalized", token.normalized},
                          {"special", token.special}});
    }
    return tokens;
}

}  // namespace

std::string tokenizer_json(const TokenizerContent& content) {
    const ordered_json file = {{"version", "1.0"},
                               {"truncation", nullptr},
                               {"padding", nullptr},
                               {"added_tokens", added_tokens_json(content)},
                               {"normalizer", nullptr},
                               {"pre_tokenizer", pretokenizer_json(content.splits)},
                               {"post_processor", nullptr},
                               {"decoder", byte_level_json(true)},
                               {"model", model_json(content)}};
    return file.dump(2) + "\n";
}

std::string tokenizer_config_json(const TokenizerContent& content) {
    if (!content.config_json.empty()) return content.config_json;
    ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                           {"add_bos_token", content.add_bos},
                           {"add_eos_token", false},
                           {"clean_up_tokenization_spaces", false}};
    const auto name = [&](const char* key, const std::optional<int32_t>& id) {
        if (id) config[key] = content.tokens[*id];
    };
    name("bos_token", content.bos_id);
    name("eos_token", content.eos_id);
    name("pad_token", content.pad_id);
    bool chats = false;
    for (const AddedToken& token : content.added_tokens) chats |= token.content == kUser;
    if (chats) config["chat_template"] = v3_template();
    return config.dump(2) + "\n";
}

void write_tokenizer(const TokenizerContent& content, const std::filesystem::path& directory) {
    write_file_atomically(directory / "tokenizer.json", tokenizer_json(content));
    write_file_atomically(directory / "tokenizer_config.json", tokenizer_config_json(content));
}

}  // namespace hadal::text
