// Threads that take jobs from a queue: what would hold up an I/O thread or the engine is done here.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hadal::serve {

class Workers {
  public:
    explicit Workers(int threads);
    /// Does what is queued, then ends.
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    /// From any thread. A job must not throw; jobs of one thread run in their order.
    void post(std::function<void()> job);

  private:
    void work();

    std::mutex mutex_;
    std::condition_variable posted_;
    std::deque<std::function<void()>> jobs_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace hadal::serve
