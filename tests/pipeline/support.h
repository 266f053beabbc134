// Schedules as short texts, for tests that know them by hand.
#pragma once

#include <string>

#include "pipeline/schedule.h"

namespace hadal::pipeline::test {

/// The computations of a rank: "F0 F1 Bi0 W0 F2&B1'", a prime after the micro-batch for each slot
/// beyond the first.
inline std::string list_text(const Schedule& schedule, int rank) {
    const auto chunk_text = [&schedule](const Chunk& chunk) {
        return std::to_string(chunk.micro_batch) +
               std::string(size_t(schedule.slot_of(chunk)), '\'');
    };
    std::string text;
    for (const Action& action : schedule.actions[size_t(rank)]) {
        if (action.is_message()) continue;
        if (!text.empty()) text += ' ';
        if (action.kind == ActionKind::forward_backward) {
            text += "F" + chunk_text(action.chunk) + "&B" + chunk_text(action.backward);
        } else {
            text += std::string(symbol(action.kind)) + chunk_text(action.chunk);
        }
    }
    return text;
}

}  // namespace hadal::pipeline::test
