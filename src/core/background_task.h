// One job at a time on a thread of its own, beside the thread pool's: for work whose result is not
// needed at once, such as writing what was copied.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace hadal {

class BackgroundTask {
  public:
    /// `niceness` as in nice(1): 0 competes with the pool's threads as an equal, 19 takes what they
    /// leave.
    explicit BackgroundTask(int niceness = 0);
    /// Finishes the job that runs; what it throws is lost.
    ~BackgroundTask();
    BackgroundTask(const BackgroundTask&) = delete;
    BackgroundTask& operator=(const BackgroundTask&) = delete;

    /// Waits for the job before, as wait() does, and starts this one.
    void start(std::function<void()> job);
    /// Until nothing runs. Rethrows, once, what the last job threw.
    void wait();

  private:
    void work(int niceness);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> job_;  // waiting or running; empty: none
    std::exception_ptr failure_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace hadal
