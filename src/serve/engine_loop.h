// The thread that runs the engine: everybody else only submits, cancels and looks.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "infer/engine.h"

namespace hadal::serve {

class Metrics;

class EngineLoop {
  public:
    /// As Engine's; the thread starts at once. `metrics` may be null.
    EngineLoop(Context& context, const model::Model& model, const infer::EngineOptions& options,
               Metrics* metrics = nullptr);
    /// Cancels what runs.
    ~EngineLoop();
    EngineLoop(const EngineLoop&) = delete;
    EngineLoop& operator=(const EngineLoop&) = delete;

    /// As Engine's, from any thread. The request's handlers run on the loop's thread: they must
    /// be quick. ApiError 503 once the loop is closed or the engine has failed.
    infer::RequestId submit(infer::Request request);
    void cancel(infer::RequestId id);

    /// From now on nothing new is taken.
    void close();
    /// Until nothing runs, at most so long; true if nothing does.
    bool wait_until_idle(std::chrono::milliseconds at_most);

    /// As of the last step.
    infer::EngineStats stats() const;
    /// Rows that went to each expert lately: [MoE layer][expert]; those of a few seconds ago weigh
    /// less.
    std::vector<std::vector<double>> expert_load() const;
    /// Since when the engine has been in its present step; zero between two.
    std::chrono::duration<double> step_time() const;
    /// Why the engine runs no more; empty while it does.
    std::string failure() const;
    /// Tokens that a request may have, prompt and answer together.
    int64_t most_tokens() const {
        return most_tokens_;
    }

  private:
    using Clock = std::chrono::steady_clock;
    using Finish = std::function<void(const infer::RequestResult&)>;

    void run();
    void publish();
    void fail(const std::string& why);
    void ended(uint64_t ticket, const infer::RequestResult& result);

    infer::Engine engine_;
    Metrics* metrics_;
    int64_t most_tokens_;
    std::vector<std::vector<int64_t>> published_load_;  // of the loop's thread, with its time
    std::chrono::steady_clock::time_point published_ = {};
    mutable std::mutex mutex_;  // guards what follows
    std::condition_variable idle_;
    infer::EngineStats stats_;
    std::vector<std::vector<double>> expert_load_;
    std::string failure_;
    bool closed_ = false;
    std::map<uint64_t, Finish> open_;  // requests that have not ended, by ticket
    uint64_t last_ticket_ = 0;
    std::atomic<bool> stopping_ = false;
    std::atomic<Clock::duration> step_began_ = Clock::duration::zero();  // between steps: zero
    std::thread thread_;  // last: it uses all of the above
};

}  // namespace hadal::serve
