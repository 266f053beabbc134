// The one thread pool. Workers spin for some ten microseconds after a job, then park in the kernel:
// a fork/join inside a forward pass costs well under a microsecond, an idle process costs nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/numa.h"

namespace hadal {

class ThreadPool {
  public:
    /// `threads` ≥ 1 counts the caller too. 0 picks the processors this process may run on
    /// (affinity and cgroup quota).
    explicit ThreadPool(int threads = 0);
    /// The same, each worker on the processors of one node, see nodes_of_threads. With less than
    /// two nodes the system places them.
    ThreadPool(int threads, const std::vector<NumaNode>& nodes);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const {
        return int(workers_.size()) + 1;
    }

    /// Calls body(begin, end, thread) on disjoint ranges that cover [0, count), each of at most
    /// `grain` items, taken in order by whichever thread is free; `thread` < size() is unique among
    /// the calls that run at one time, for per-thread scratch. Returns when all are done; the first
    /// exception thrown is rethrown here. A call from inside a body, or from a second thread while
    /// a job runs, runs the range on the calling thread alone (thread index 0 is then that
    /// caller's: do not index the outer job's scratch with it).
    template <class Body>
    void parallel_ranges(int64_t count, int64_t grain, const Body& body) {
        using Plain = std::remove_reference_t<Body>;
        run(count, grain < 1 ? 1 : grain, &body,
            [](const void* b, int64_t begin, int64_t end, int thread) {
                (*static_cast<const Plain*>(b))(begin, end, thread);
            });
    }

    /// body(i) for every i in [0, count), `grain` items to a task.
    template <class Body>
    void parallel_for(int64_t count, int64_t grain, const Body& body) {
        parallel_ranges(count, grain, [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) body(i);
        });
    }
    template <class Body>
    void parallel_for(int64_t count, const Body& body) {
        parallel_for(count, 1, body);
    }

  private:
    using Call = void (*)(const void* body, int64_t begin, int64_t end, int thread);
    struct Job;
    struct State;

    void run(int64_t count, int64_t grain, const void* body, Call call);
    static void work(State& state, int thread);

    std::unique_ptr<State> state_;
    std::vector<std::thread> workers_;
};

/// Processors this process may use: affinity mask cut by the cgroup CPU quota; at least 1.
int usable_processors();

}  // namespace hadal
