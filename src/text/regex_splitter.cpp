#include "text/regex_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "core/error.h"

namespace hadal::text {
namespace {

// GPT-2's expression (Radford et al. 2019), which ByteLevel applies by itself.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// \s for use inside a set.
constexpr std::string_view kWhiteSpace = R"(\t-\r\x{85}\p{Z})";

// A hostile expression gives up here instead of running for hours.
constexpr uint32_t kMatchLimit = 10'000'000;

/// Length of the escape at the front of `pattern`: \p{Han}, \x{85}, \s.
size_t escape_length(std::string_view pattern) {
    if (pattern.size() < 3 || pattern[2] != '{') return std::min<size_t>(2, pattern.size());
    const size_t close = pattern.find('}');
    return close == std::string_view::npos ? pattern.size() : close + 1;
}

/// Length of the set at the front of `pattern`, which starts with '['; sets may nest.
size_t set_length(std::string_view pattern) {
    size_t at = 1;
    if (at < pattern.size() && pattern[at] == '^') ++at;
    if (at < pattern.size() && pattern[at] == ']') ++at;
    while (at < pattern.size() && pattern[at] != ']') {
        if (pattern[at] == '\\') {
            at += escape_length(pattern.substr(at));
        } else if (pattern[at] == '[') {
            at += set_length(pattern.substr(at));
        } else {
            ++at;
        }
    }
    return std::min(at + 1, pattern.size());
}

pcre2_code* compile(std::string_view pattern, int& error) {
    constexpr uint32_t kOptions =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    size_t offset = 0;
    return pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions,
                         &error, &offset, nullptr);
}

/// \p{Han} → \p{sc:Han}: in PCRE2 a bare script means its extensions too. Others as they are.
std::string translate_property(std::string_view escape) {
    if (escape.size() < 6 || (escape[1] != 'p' && escape[1] != 'P')) return std::string(escape);
    const std::string by_script = concat(escape.substr(0, 3), "sc:", escape.substr(3));
    int error = 0;
    pcre2_code* const code = compile(by_script, error);
    pcre2_code_free(code);
    return code != nullptr ? by_script : std::string(escape);
}

/// `set` with \s spelled out, as [...].
std::string spelled_set(std::string_view set) {
    std::string spelled;
    for (size_t at = 0; at < set.size();) {
        const size_t length = set[at] == '\\' ? escape_length(set.substr(at)) : 1;
        const std::string_view part = set.substr(at, length);
        spelled += part == "\\s" ? std::string(kWhiteSpace) : translate_property(part);
        at += length;
    }
    return spelled;
}

/// "[a&&[^b]]" → "(?:(?![b])[a])"; other sets stay sets.
std::string translate_set(std::string_view set) {
    const size_t both = set.find("&&[^");
    if (both == std::string_view::npos) return spelled_set(set);
    const std::string_view excluded = set.substr(both + 2);
    if (set[1] == '^' || set_length(excluded) + 1 != excluded.size()) return std::string(set);
    return concat("(?:(?!", spelled_set(concat("[", excluded.substr(2, excluded.size() - 3))), ")",
                  spelled_set(set.substr(0, both)), "])");
}

std::string quoted(std::string_view literal) {
    std::string pattern;
    for (const char byte : literal) {
        const bool plain = (byte & 0x80) != 0 || (byte >= '0' && byte <= '9') ||
                           (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!plain) pattern += '\\';
        pattern += byte;
    }
    return pattern;
}

std::string pattern_of(const Split& split) {
    switch (split.kind) {
        case Split::Kind::regex:
            return for_pcre2(split.pattern);
        case Split::Kind::literal:
            return quoted(split.pattern);
        case Split::Kind::digits:
            return "\\p{N}+";
        case Split::Kind::individual_digits:
            return "\\p{N}";
        case Split::Kind::byte_level:
            break;
    }
    return for_pcre2(kByteLevelPattern);
}

std::string message_of(int error) {
    char message[256] = {};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return message;
}

}  // namespace

std::string for_pcre2(std::string_view pattern) {
    std::string translated;
    for (size_t at = 0; at < pattern.size();) {
        size_t length = 1;
        if (pattern[at] == '[') {
            length = set_length(pattern.substr(at));
            translated += translate_set(pattern.substr(at, length));
        } else if (pattern[at] == '\\') {
            length = escape_length(pattern.substr(at));
            const std::string_view escape = pattern.substr(at, length);
            if (escape == "\\s") {
                translated += concat("[", kWhiteSpace, "]");
            } else if (escape == "\\S") {
                translated += concat("[^", kWhiteSpace, "]");
            } else {
                translated += translate_property(escape);
            }
        } else {
            translated += pattern[at];
        }
        at += length;
    }
    return translated;
}

struct RegexSplitter::Code {
    pcre2_code* code = nullptr;
    pcre2_match_context* context = nullptr;
    bool is_machine_code = false;

    Code() = default;
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    ~Code() {
        pcre2_match_context_free(context);
        pcre2_code_free(code);
    }
};

RegexSplitter::RegexSplitter(const Split& split) : pattern_(split.pattern) {
    const std::string pattern = pattern_of(split);
    auto code = std::make_unique<Code>();
    int error = 0;
    code->code = compile(pattern, error);
    if (code->code == nullptr) {
        throw Error(Error::Kind::unsupported,
                    concat("split pattern '", pattern_, "': ", message_of(error)));
    }
    // Where it cannot compile, the interpreter runs.
    code->is_machine_code = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
    code->context = pcre2_match_context_create(nullptr);
    if (code->context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(code->context, kMatchLimit);
    code_ = std::move(code);
}

RegexSplitter::~RegexSplitter() = default;

RegexSplitter::Scratch::Scratch() : data_(pcre2_match_data_create(1, nullptr)) {
    if (data_ == nullptr) throw std::bad_alloc();
}

RegexSplitter::Scratch::~Scratch() {
    pcre2_match_data_free(static_cast<pcre2_match_data*>(data_));
}

/// What PCRE2 returns. An empty match would cut nothing: a longer one is asked for.
int RegexSplitter::match(std::string_view text, size_t from, Scratch& scratch) const {
    const PCRE2_SPTR subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    pcre2_match_data* const data = static_cast<pcre2_match_data*>(scratch.data_);
    if (code_->is_machine_code) {
        const int found = pcre2_jit_match(code_->code, subject, text.size(), from, PCRE2_NOTEMPTY,
                                          data, code_->context);
        if (found != PCRE2_ERROR_JIT_STACKLIMIT) return found;
    }
    return pcre2_match(code_->code, subject, text.size(), from, PCRE2_NOTEMPTY | PCRE2_NO_JIT, data,
                       code_->context);
}

void RegexSplitter::split(std::string_view text, Scratch& scratch,
                          std::vector<std::string_view>& pieces) const {
    const size_t* const range =
        pcre2_get_ovector_pointer(static_cast<pcre2_match_data*>(scratch.data_));
    size_t done = 0;
    while (done < text.size()) {
        const int found = match(text, done, scratch);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) {
            throw Error(Error::Kind::unsupported, concat("split pattern '", pattern_, "' at byte ",
                                                         done, " of a text: ", message_of(found)));
        }
        if (range[0] < done || range[1] <= range[0]) {  // \K can move the start anywhere
            throw Error(Error::Kind::unsupported,
                        concat("split pattern '", pattern_, "' matches backwards"));
        }
        if (range[0] > done) pieces.push_back(text.substr(done, range[0] - done));
        pieces.push_back(text.substr(range[0], range[1] - range[0]));
        done = range[1];
    }
    if (done < text.size()) pieces.push_back(text.substr(done));
}

}  // namespace hadal::text
