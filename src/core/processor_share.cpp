#include "core/processor_share.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace hadal {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr microseconds kLong{300};        // the system's own tasks are shorter, time slices longer
constexpr milliseconds kRemembered{100};  // then a yield tries again whether it is alone
constexpr uint64_t kSlice = 100'000;      // ns: the least that the system grants

// Of sched_setattr(2), whose wrapper and structure the C library may not have.
struct SchedulingAttributes {
    uint32_t size = sizeof(SchedulingAttributes);
    uint32_t policy = 0;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t runtime = 0;  // ns: the slice, where the policy is the ordinary one
    uint64_t deadline = 0;
    uint64_t period = 0;
};

void ask_for_short_slices() {
#if defined(SYS_sched_getattr) && defined(SYS_sched_setattr)
    SchedulingAttributes attributes;
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
    if (attributes.policy != SCHED_OTHER) return;
    attributes.runtime = kSlice;
    syscall(SYS_sched_setattr, 0, &attributes, 0);  // a wish: without it all works as before
#endif
}

}  // namespace

void ProcessorShare::yield() {
    const Clock::time_point gone = Clock::now();
    sched_yield();
    learn(gone, Clock::now());
}

void ProcessorShare::learn(Clock::time_point gone, Clock::time_point back) {
    if (back - gone < kLong) return;
    contended_until_ = back + kRemembered;
    if (has_short_slices_) return;
    has_short_slices_ = true;
    ask_for_short_slices();
}

}  // namespace hadal
