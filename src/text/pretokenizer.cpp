#include "text/pretokenizer.h"

#include <utility>

#include "text/regex_splitter.h"
#include "text/v3_splitter.h"

namespace hadal::text {

const std::vector<Split>& v3_splits() {
    static const std::vector<Split> splits = {
        {Split::Kind::regex, "\\p{N}{1,3}"},
        {Split::Kind::regex, "[一-龥\u3040-ゟ゠-ヿ]+"},
        {Split::Kind::regex,
         R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)re"
         R"re(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re"},
    };
    return splits;
}

Pretokenizer::Pretokenizer(std::vector<Split> splits)
    : is_v3_(splits == v3_splits()), splits_(std::move(splits)) {
    if (is_v3_) return;
    for (const Split& split : splits_) {
        splitters_.push_back(std::make_unique<const RegexSplitter>(split));
    }
}

Pretokenizer::~Pretokenizer() = default;
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;

void Pretokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
    if (is_v3_) return V3Splitter(text).split(pieces);
    if (text.empty()) return;
    std::vector<std::string_view> before = {text};
    std::vector<std::string_view> after;
    RegexSplitter::Scratch scratch;
    for (const std::unique_ptr<const RegexSplitter>& splitter : splitters_) {
        after.clear();
        for (const std::string_view piece : before) splitter->split(piece, scratch, after);
        before.swap(after);
    }
    pieces.insert(pieces.end(), before.begin(), before.end());
}

size_t Pretokenizer::safe_cut(std::string_view text, size_t from) const {
    if (!is_v3_) return text.size();
    // A line break ends its piece, and a letter after one starts its own.
    for (size_t at = from == 0 ? 1 : from; at < text.size(); ++at) {
        at = text.find('\n', at - 1);
        if (at == std::string_view::npos || ++at >= text.size()) break;
        const char next = text[at];
        if ((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z')) return at;
    }
    return text.size();
}

}  // namespace hadal::text
