#include "optim/batch_size_schedule.h"

#include <algorithm>

namespace hadal::optim {

int64_t batch_size(const BatchSizeSchedule& schedule, int64_t tokens) {
    if (schedule.first <= 0 || tokens >= schedule.ramp_tokens) return schedule.sequences;
    // 128 bits: 15360 sequences times 469 billion tokens leaves 64.
    const auto gained =
        static_cast<__int128>(schedule.sequences - schedule.first) * tokens / schedule.ramp_tokens;
    const int64_t size = schedule.first + int64_t(gained);
    return std::max(schedule.multiple, size / schedule.multiple * schedule.multiple);
}

}  // namespace hadal::optim
