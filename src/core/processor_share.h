// Whether this thread has its processor to itself: what threads that wait for each other need to
// know. Alone, a waiting thread is back soonest if it never leaves the processor. Beside another
// program it must sleep: the scheduler counts waiting as work, so the other program would get the
// processor just when there is something to do, for milliseconds.
#pragma once

#include <chrono>

namespace hadal {

/// Of one thread, which alone may use it.
class ProcessorShare {
  public:
    using Clock = std::chrono::steady_clock;

    /// Whether another program has lately computed on this processor, for longer than the system's
    /// own short tasks do.
    bool is_contended(Clock::time_point now = Clock::now()) const {
        return now < contended_until_;
    }

    /// Lets others have the processor, and learns from how long they keep it.
    void yield();

    /// Others had the processor from `gone` to `back`. When that is long for the first time, the
    /// system is asked for short slices of time, which it hands out sooner (Linux 6.12 or newer;
    /// before, nothing happens): this thread needs the processor often rather than long.
    void learn(Clock::time_point gone, Clock::time_point back);

  private:
    Clock::time_point contended_until_{};
    bool has_short_slices_ = false;
};

}  // namespace hadal
