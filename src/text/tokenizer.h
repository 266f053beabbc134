// Text to token ids and back, for the byte-level BPE tokenizers of the V3 family.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/pretokenizer.h"

namespace hadal::text {

/// A token that merges never make: control tokens, and words added by hand.
struct AddedToken {
    int32_t id;
    std::string content;
    bool special = true;      // left out of text by decode(…, skip_special)
    bool normalized = false;  // looked for only where none of the others matched
    bool strip_left = false;  // takes the white space before it, likewise after it
    bool strip_right = false;
    bool single_word = false;  // matches only between characters that are not letters or numbers

    bool operator==(const AddedToken&) const = default;
};

/// Everything that tokenizer.json and tokenizer_config.json say, checked, and nothing derived.
struct TokenizerContent {
    enum class Written : uint8_t {  // how model.vocab writes a token
        absent,                     // it does not: a hole in the ids, or an added token only
        letters,                    // in the letters of bytes
        literal,                    // as it is
        byte_fallback,              // "<0x0A>"
    };
    std::vector<std::string> tokens;  // bytes by id; empty: a hole
    std::vector<Written> written;     // by id
    std::vector<Merge> merges;        // by rank
    std::vector<AddedToken> added_tokens;
    std::vector<Split> splits;
    bool ignore_merges = false;
    bool byte_fallback = false;
    std::optional<int32_t> bos_id, eos_id, pad_id;
    bool add_bos = false;
    std::string config_json;  // tokenizer_config.json as it was read; empty: write our own
};

class AddedTokenFinder;

class Tokenizer {
  public:
    /// A model's directory, or a tokenizer.json; tokenizer_config.json is looked for beside it.
    /// Error(corrupt_file) where the files contradict themselves or each other, Error(unsupported)
    /// naming the part that this build cannot follow.
    static Tokenizer load(const std::filesystem::path& path);
    /// `where` names the content in messages.
    explicit Tokenizer(TokenizerContent content, std::string_view where = "tokenizer");
    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;

    /// Ids of `text`, which may be any bytes; decode gives them back. Added tokens (control tokens
    /// among them) are found only if `parse_special`: text of a user must never become control
    /// tokens. Adds no BOS. Safe from several threads.
    std::vector<int32_t> encode(std::string_view text, bool parse_special = false) const;
    /// The tokens' bytes, joined. Error(bad_input) for an id outside [0, vocab_size).
    std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

    /// Empty for an id that the files leave out; Error(bad_input) outside [0, vocab_size).
    std::string_view token_bytes(int32_t id) const;
    bool is_special(int32_t id) const;
    /// Largest id + 1.
    int32_t vocab_size() const {
        return int32_t(content_.tokens.size());
    }
    /// By its bytes, e.g. "<｜fim▁hole｜>" or " the".
    std::optional<int32_t> id_of(std::string_view token) const;

    std::optional<int32_t> bos_id() const {
        return content_.bos_id;
    }
    std::optional<int32_t> eos_id() const {
        return content_.eos_id;
    }
    std::optional<int32_t> pad_id() const {
        return content_.pad_id;
    }
    /// Whether text that a model reads starts with BOS.
    bool add_bos() const {
        return content_.add_bos;
    }

    /// Writes tokenizer.json and tokenizer_config.json into `directory`, which must exist.
    void save(const std::filesystem::path& directory) const;

    const TokenizerContent& content() const {
        return content_;
    }

  private:
    void encode_plain(std::string_view text, std::vector<int32_t>& ids) const;

    TokenizerContent content_;
    std::vector<bool> special_;  // by id
    Pretokenizer pretokenizer_;
    std::unique_ptr<const BytePairEncoder> encoder_;
    std::unique_ptr<const TokenTable> all_tokens_;
    std::unique_ptr<const AddedTokenFinder> finder_;
};

}  // namespace hadal::text
