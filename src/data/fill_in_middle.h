// Fill-in-the-middle (V3 report §4.1): a share of the documents is rearranged before packing,
// prefix, suffix, middle:
//     <｜fim▁begin｜> prefix <｜fim▁hole｜> suffix <｜fim▁end｜> middle <｜end▁of▁sentence｜>
// Only the cut is made here. The markers are put in as ids by `pack`, so that a text that spells
// one of them stays text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hadal::data {

struct MiddleCut {
    std::string_view prefix;
    std::string_view middle;
    std::string_view suffix;
};

/// The cut of `document`, the one at `index`, or nothing for the 1 − `rate` of documents that stay
/// as they are. The report is silent about the cut points: here uniform over characters (never
/// inside one), which gives every part any length, empty included. A pure function of its
/// arguments; `document` must outlive the result.
std::optional<MiddleCut> cut_for_middle(std::string_view document, double rate, uint64_t seed,
                                        int64_t index);

}  // namespace hadal::data
