#include "data/fill_in_middle.h"

#include <algorithm>

#include "core/random.h"
#include "data/utf8.h"

namespace hadal::data {

std::optional<MiddleCut> cut_for_middle(std::string_view text, double rate, uint64_t seed,
                                        int64_t index) {
    RandomSequence random(mix_bits(seed ^ 0x46494D), uint64_t(index));
    if (random.uniform() >= rate) return std::nullopt;
    uint64_t characters = 0;
    for (std::string_view rest = text; !rest.empty(); ++characters) {
        rest.remove_prefix(std::max<size_t>(1, character_bytes(rest)));
    }
    uint64_t first = random.below(characters + 1);
    uint64_t second = random.below(characters + 1);
    if (first > second) std::swap(first, second);
    const auto offset_of = [&](uint64_t character) {
        std::string_view rest = text;
        for (; character > 0; --character) {
            rest.remove_prefix(std::max<size_t>(1, character_bytes(rest)));
        }
        return text.size() - rest.size();
    };
    const size_t begin = offset_of(first);
    const size_t end = offset_of(second);
    return MiddleCut{text.substr(0, begin), text.substr(begin, end - begin), text.substr(end)};
}

}  // namespace hadal::data
