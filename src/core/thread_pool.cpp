#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "core/processor_share.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hadal {

namespace {

// A few µs, whatever others do: sleeping and being woken takes longer.
constexpr int kFirstSpins = 300;
// Where this thread has its processor to itself: about 20 µs in all. Longer spinning would starve
// another process's threads on a shared machine.
constexpr int kSpins = 2000;
// Then about 50 µs in which anybody else may have the processor, and nobody has to wake this
// thread: the parts of a step that one thread does alone end within that, and waking takes longer.
constexpr int kYields = 100;

// What a thread knows of others on its processor: a fact about the thread, hence thread_local.
thread_local ProcessorShare processor_share;

void pause_briefly() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/// Spins, yields while it has the processor to itself, then sleeps in the kernel, until `value` is
/// no longer `old`. Returns the new value.
uint32_t wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
    const auto load = [&] { return value.load(std::memory_order_acquire); };
    uint32_t now = load();
    for (int i = 0; i < kFirstSpins && now == old; ++i, now = load()) pause_briefly();
    if (now != old) return now;
    if (!processor_share.is_contended()) {
        for (int i = kFirstSpins; i < kSpins && now == old; ++i, now = load()) pause_briefly();
        for (int i = 0; i < kYields && now == old && !processor_share.is_contended(); ++i) {
            processor_share.yield();
            now = load();
        }
    }
    while (now == old) {
        value.wait(old, std::memory_order_acquire);
        now = load();
    }
    return now;
}

// Whether this thread is running a part of a job, so that a nested one runs in place: a fact about
// the thread, hence thread_local.
thread_local bool inside_job = false;

// The gate of a job: whether it is open, and how many workers are inside. The submitter waits only
// for workers that came in: one that the system has descheduled (another process wants its core)
// delays nobody.
constexpr uint32_t kOpen = 1u << 31;

}  // namespace

struct ThreadPool::State {
    // The job: written by the submitter while the gate is closed and nobody is inside.
    const void* body = nullptr;
    Call call = nullptr;
    int64_t count = 0;
    int64_t grain = 1;
    alignas(64) std::atomic<int64_t> next{0};
    alignas(64) std::atomic<uint32_t> generation{0};  // moves with every job: the wake-up call
    alignas(64) std::atomic<uint32_t> gate{0};
    std::atomic<bool> stopping{false};
    std::mutex submit;  // one job at a time
    std::mutex error_mutex;
    std::exception_ptr error;

    /// Enters the open job, if there is one.
    bool enter() {
        uint32_t now = gate.load(std::memory_order_relaxed);
        while ((now & kOpen) != 0) {
            if (gate.compare_exchange_weak(now, now + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    void leave() {
        if (gate.fetch_sub(1, std::memory_order_release) == 1) gate.notify_one();
    }
    /// Lets nobody in any more and waits for those inside.
    void close() {
        uint32_t now = gate.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
        while (now != 0) now = wait_for_change(gate, now);
    }

    void take_ranges(int thread) {
        inside_job = true;
        try {
            for (;;) {
                const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
                if (begin >= count) break;
                call(body, begin, std::min(begin + grain, count), thread);
            }
        } catch (...) {
            next.store(count, std::memory_order_relaxed);  // nobody starts another range
            const std::lock_guard lock(error_mutex);
            if (!error) error = std::current_exception();
        }
        inside_job = false;
    }
};

ThreadPool::ThreadPool(int threads) : ThreadPool(threads, {}) {}

ThreadPool::ThreadPool(int threads, const std::vector<NumaNode>& nodes)
    : state_(std::make_unique<State>()) {
    if (threads <= 0) threads = usable_processors();
    std::vector<size_t> places;
    if (nodes.size() > 1) places = nodes_of_threads(nodes, threads);
    workers_.reserve(size_t(threads - 1));
    for (int i = 1; i < threads; ++i) {
        const NumaNode node = places.empty() ? NumaNode{} : nodes[places[size_t(i)]];
        workers_.emplace_back([state = state_.get(), i, node] {
            if (!node.processors.empty()) stay_on(node);
            work(*state, i);
        });
    }
}

ThreadPool::~ThreadPool() {
    state_->stopping.store(true);
    state_->generation.fetch_add(1, std::memory_order_release);
    state_->generation.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::work(State& state, int thread) {
    uint32_t seen = 0;
    for (;;) {
        seen = wait_for_change(state.generation, seen);
        if (state.stopping.load()) return;
        if (!state.enter()) continue;  // came too late: the others have done it
        state.take_ranges(thread);
        state.leave();
    }
}

void ThreadPool::run(int64_t count, int64_t grain, const void* body, Call call) {
    if (count <= 0) return;
    State& state = *state_;
    if (workers_.empty() || count <= grain || inside_job || !state.submit.try_lock()) {
        for (int64_t begin = 0; begin < count; begin += grain) {
            call(body, begin, std::min(begin + grain, count), 0);
        }
        return;
    }
    const std::lock_guard lock(state.submit, std::adopt_lock);
    state.body = body;
    state.call = call;
    state.count = count;
    state.grain = grain;
    state.next.store(0, std::memory_order_relaxed);
    state.gate.store(kOpen, std::memory_order_release);
    state.generation.fetch_add(1, std::memory_order_release);
    state.generation.notify_all();
    state.take_ranges(0);
    state.close();
    if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

int usable_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    int processors = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) processors = std::max(1, CPU_COUNT(&set));
    std::ifstream file("/sys/fs/cgroup/cpu.max");  // "quota period" or "max period"
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max" && period > 0) {
        const double limit = std::ceil(std::stod(quota) / period);
        processors = std::clamp(int(limit), 1, processors);
    }
    return processors;
}

}  // namespace hadal
