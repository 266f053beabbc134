#include "serve/engine_loop.h"

#include <utility>

#include "serve/api_error.h"
#include "serve/metrics.h"

namespace hadal::serve {

namespace {

// How long the thread sleeps when there is nothing to do; a submission wakes it.
constexpr std::chrono::milliseconds kIdle(200);

using TokenHandler = std::function<bool(const infer::GeneratedToken&)>;

/// The handler, with the time from now to its first call and between its calls counted. A request's
/// calls come one after another.
TokenHandler timed(TokenHandler handler, Metrics& metrics) {
    using Clock = std::chrono::steady_clock;
    return [handler = std::move(handler), &metrics, last = Clock::now(),
            is_first = true](const infer::GeneratedToken& token) mutable {
        const Clock::time_point now = Clock::now();
        const double seconds = std::chrono::duration<double>(now - last).count();
        if (std::exchange(is_first, false)) {
            metrics.first_token(seconds);
        } else {
            metrics.token(seconds);
        }
        last = now;
        return !handler || handler(token);
    };
}

}  // namespace

EngineLoop::EngineLoop(Context& context, const model::Model& model,
                       const infer::EngineOptions& options, Metrics* metrics)
    : engine_(context, model, options),
      metrics_(metrics),
      most_tokens_(engine_.most_tokens()),
      stats_(engine_.stats()),
      thread_([this] { run(); }) {}

EngineLoop::~EngineLoop() {
    close();
    stopping_ = true;
    engine_.cancel(0);  // nobody's: wakes the thread
    thread_.join();
    fail("the server stops");
}

infer::RequestId EngineLoop::submit(infer::Request request) {
    uint64_t ticket = 0;
    {
        const std::lock_guard lock(mutex_);
        if (!failure_.empty()) throw ApiError(503, "the engine has stopped: " + failure_);
        if (closed_) throw ApiError(503, "the server is shutting down");
        ticket = ++last_ticket_;
        open_.emplace(ticket, std::move(request.on_finish));
    }
    request.on_finish = [this, ticket](const infer::RequestResult& result) {
        ended(ticket, result);
    };
    if (metrics_ != nullptr) request.on_token = timed(std::move(request.on_token), *metrics_);
    try {
        return engine_.submit(std::move(request));
    } catch (...) {
        const std::lock_guard lock(mutex_);
        open_.erase(ticket);
        throw;
    }
}

void EngineLoop::cancel(infer::RequestId id) {
    engine_.cancel(id);
}

void EngineLoop::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

bool EngineLoop::wait_until_idle(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, at_most, [this] { return open_.empty(); });
}

infer::EngineStats EngineLoop::stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
}

std::vector<std::vector<double>> EngineLoop::expert_load() const {
    const std::lock_guard lock(mutex_);
    return expert_load_;
}

std::chrono::duration<double> EngineLoop::step_time() const {
    const Clock::duration began = step_began_;
    if (began == Clock::duration::zero()) return {};
    return Clock::now().time_since_epoch() - began;
}

std::string EngineLoop::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

void EngineLoop::run() {
    try {
        while (!stopping_) {
            if (engine_.wait(kIdle)) {
                step_began_ = Clock::now().time_since_epoch();
                engine_.step();
                step_began_ = Clock::duration::zero();
            }
            publish();
        }
    } catch (const std::exception& error) {
        // A single request's faults end that request inside the engine; this one is everybody's.
        fail(error.what());
    }
}

/// The experts' load is large (58·256 numbers of V3), so it is looked at twice a second.
void EngineLoop::publish() {
    constexpr std::chrono::milliseconds kInterval(500);
    constexpr double kKept = 0.9;  // a half-life of some three seconds
    const infer::EngineStats stats = engine_.stats();
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    const int64_t rows = stats.step_tokens - stats_.step_tokens;
    const bool is_busy = rows != 0;
    if (is_busy && metrics_ != nullptr) metrics_->step(rows);
    stats_ = stats;
    const auto& load = engine_.expert_load();
    if (!is_busy || (now - published_ < kInterval && load.size() == expert_load_.size())) return;
    published_ = now;
    published_load_.resize(load.size());
    expert_load_.resize(load.size());
    for (size_t layer = 0; layer < load.size(); ++layer) {
        published_load_[layer].resize(load[layer].size());
        expert_load_[layer].resize(load[layer].size());
        for (size_t e = 0; e < load[layer].size(); ++e) {
            const auto more = double(load[layer][e] - published_load_[layer][e]);
            expert_load_[layer][e] = kKept * expert_load_[layer][e] + more;
        }
    }
    published_load_ = load;
}

/// Ends all requests with an error: nobody may wait for an engine that has stopped.
void EngineLoop::fail(const std::string& why) {
    std::map<uint64_t, Finish> open;
    {
        const std::lock_guard lock(mutex_);
        failure_ = why;
        open.swap(open_);
    }
    infer::RequestResult result;
    result.finish_reason = infer::FinishReason::error;
    result.error = why;
    for (const auto& [ticket, finish] : open) {
        if (finish) finish(result);
    }
    idle_.notify_all();
}

void EngineLoop::ended(uint64_t ticket, const infer::RequestResult& result) {
    if (metrics_ != nullptr) metrics_->ended(result);
    Finish finish;
    {
        const std::lock_guard lock(mutex_);
        const auto found = open_.find(ticket);
        if (found == open_.end()) return;
        finish = std::move(found->second);
    }
    if (finish) finish(result);
    const std::lock_guard lock(mutex_);
    open_.erase(ticket);  // only now: who waits until nothing is open may take the handler's things
    idle_.notify_all();
}

}  // namespace hadal::serve
