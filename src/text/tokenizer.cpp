#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "text/added_tokens.h"
#include "text/tokenizer_json.h"

namespace hadal::text {
namespace {

// Long text is cut into parts of about this size: their pieces stay in the cache.
constexpr size_t kPartBytes = 1 << 16;

using Written = TokenizerContent::Written;

[[noreturn]] void fail(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where));
}

void check_id(const TokenizerContent& content, int32_t id, const char* what,
              std::string_view where) {
    if (id < 0 || size_t(id) >= content.tokens.size() || content.tokens[id].empty()) {
        fail(where, concat(what, " names id ", id, ", which is no token"));
    }
}

void check_merges(const TokenizerContent& content, std::string_view where) {
    std::vector<std::pair<int32_t, int32_t>> pairs;
    for (size_t rank = 0; rank < content.merges.size(); ++rank) {
        const Merge& merge = content.merges[rank];
        for (const int32_t id : {merge.left, merge.right, merge.result}) {
            check_id(content, id, "a merge", where);
        }
        const std::string& result = content.tokens[merge.result];
        if (content.tokens[merge.left] + content.tokens[merge.right] != result) {
            fail(where, concat("merge ", rank, " does not give the bytes of its token"));
        }
        pairs.push_back({merge.left, merge.right});
    }
    std::sort(pairs.begin(), pairs.end());
    const auto repeated = std::adjacent_find(pairs.begin(), pairs.end());
    if (repeated != pairs.end()) {
        fail(where, concat("a merge repeats another, of the ids ", repeated->first, " and ",
                           repeated->second));
    }
}

void check_content(const TokenizerContent& content, std::string_view where) {
    if (content.tokens.size() != content.written.size()) {
        throw Error(Error::Kind::internal, "tokens and how they are written differ in number");
    }
    check_merges(content, where);
    for (const AddedToken& added : content.added_tokens) {
        check_id(content, added.id, "an added token", where);
        if (content.tokens[added.id] != added.content) {
            fail(where, concat("id ", added.id, " is both '", content.tokens[added.id],
                               "' and the added token '", added.content, "'"));
        }
    }
    for (const auto& id : {content.bos_id, content.eos_id, content.pad_id}) {
        if (id) check_id(content, *id, "a control token", where);
    }
}

/// Ids that plain text may become.
std::vector<int32_t> plain_ids(const TokenizerContent& content) {
    std::vector<bool> plain(content.tokens.size());
    for (size_t id = 0; id < plain.size(); ++id) {
        plain[id] = content.written[id] != Written::absent;
    }
    for (const AddedToken& added : content.added_tokens) plain[added.id] = false;
    std::vector<int32_t> ids;
    for (size_t id = 0; id < plain.size(); ++id) {
        if (plain[id]) ids.push_back(int32_t(id));
    }
    return ids;
}

/// The token of each single byte, -1 if none; "<0x0A>" only where there is no other.
std::array<int32_t, 256> byte_ids(const TokenizerContent& content, std::span<const int32_t> ids,
                                  std::string_view where) {
    std::array<int32_t, 256> found;
    found.fill(-1);
    for (const bool fallback : {false, true}) {
        for (const int32_t id : ids) {
            if (content.tokens[id].size() != 1) continue;
            if ((content.written[id] == Written::byte_fallback) != fallback) continue;
            int32_t& byte_id = found[static_cast<unsigned char>(content.tokens[id][0])];
            if (byte_id < 0) byte_id = id;
        }
    }
    for (int byte = 0; byte < 256; ++byte) {
        // Older models of the family leave out the bytes that UTF-8 never uses.
        const bool in_utf8 = byte < 0xC0 || (byte > 0xC1 && byte < 0xF5);
        if (found[byte] < 0 && in_utf8) {
            throw Error(Error::Kind::unsupported,
                        concat("no token stands for byte ", byte, ": ", where,
                               " (only byte-level vocabularies can be used)"));
        }
    }
    return found;
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
    return Tokenizer(read_tokenizer(path), path.string());
}

Tokenizer::Tokenizer(TokenizerContent content, std::string_view where)
    : content_(std::move(content)), pretokenizer_(content_.splits) {
    check_content(content_, where);
    special_.resize(content_.tokens.size());
    for (const AddedToken& added : content_.added_tokens) special_[added.id] = added.special;
    const std::vector<int32_t> plain = plain_ids(content_);
    encoder_ = std::make_unique<BytePairEncoder>(
        content_.tokens, plain, byte_ids(content_, plain, where), content_.merges,
        BytePairEncoder::Options{.ignore_merges = content_.ignore_merges});
    // Added tokens first: a name that both kinds hold means the added one.
    std::vector<int32_t> all;
    for (const AddedToken& added : content_.added_tokens) all.push_back(added.id);
    all.insert(all.end(), plain.begin(), plain.end());
    all_tokens_ = std::make_unique<TokenTable>(content_.tokens, all);
    finder_ = std::make_unique<AddedTokenFinder>(content_.added_tokens);
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::encode_plain(std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<std::string_view> pieces;
    BytePairEncoder::Scratch scratch;
    while (!text.empty()) {
        const size_t cut =
            text.size() <= kPartBytes ? text.size() : pretokenizer_.safe_cut(text, kPartBytes);
        pieces.clear();
        pretokenizer_.split(text.substr(0, cut), pieces);
        for (const std::string_view piece : pieces) encoder_->encode(piece, scratch, ids);
        text.remove_prefix(cut);
    }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4 + 4);
    if (!parse_special) {
        encode_plain(text, ids);
        return ids;
    }
    for (const AddedTokenFinder::Part& part : finder_->split(text)) {
        if (part.token != nullptr) {
            ids.push_back(part.token->id);
        } else {
            encode_plain(part.text, ids);
        }
    }
    return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
    std::string bytes;
    for (const int32_t id : ids) {
        const std::string_view token = token_bytes(id);
        if (!skip_special || !special_[id]) bytes += token;
    }
    return bytes;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
    if (id < 0 || id >= vocab_size()) {
        throw Error(Error::Kind::bad_input,
                    concat("token id ", id, " is outside the vocabulary of ", vocab_size(),
                           " (other tokenizer?)"));
    }
    return content_.tokens[id];
}

bool Tokenizer::is_special(int32_t id) const {
    return !token_bytes(id).empty() && special_[id];
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
    const int32_t id = all_tokens_->find(token);
    if (id < 0) return std::nullopt;
    return id;
}

void Tokenizer::save(const std::filesystem::path& directory) const {
    write_tokenizer(content_, directory);
}

}  // namespace hadal::text
