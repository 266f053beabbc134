#include "data/fill_in_middle.h"

#include <utility>

#include "core/random.h"
#include "text/unicode.h"

namespace hadal::data {

std::optional<MiddleCut> cut_for_middle(std::string_view document, double rate, uint64_t seed,
                                        int64_t index) {
    RandomSequence random(mix_bits(seed ^ 0x46494D), uint64_t(index));
    if (random.uniform() >= rate) return std::nullopt;
    uint64_t characters = 0;
    for (std::string_view rest = document; !rest.empty(); ++characters) {
        rest.remove_prefix(text::decode_character(rest).bytes);
    }
    uint64_t first = random.below(characters + 1);
    uint64_t second = random.below(characters + 1);
    if (first > second) std::swap(first, second);
    const auto offset_of = [&](uint64_t character) {
        std::string_view rest = document;
        for (; character > 0; --character) {
            rest.remove_prefix(text::decode_character(rest).bytes);
        }
        return document.size() - rest.size();
    };
    const size_t begin = offset_of(first);
    const size_t end = offset_of(second);
    return MiddleCut{document.substr(0, begin), document.substr(begin, end - begin),
                     document.substr(end)};
}

}  // namespace hadal::data
