#include "core/background_task.h"

#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace hadal {

BackgroundTask::BackgroundTask(int niceness) : thread_([this, niceness] { work(niceness); }) {}

BackgroundTask::~BackgroundTask() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void BackgroundTask::start(std::function<void()> job) {
    wait();
    {
        const std::lock_guard lock(mutex_);
        job_ = std::move(job);
    }
    changed_.notify_all();
}

void BackgroundTask::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !job_; });
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void BackgroundTask::work(int niceness) {
    ::setpriority(PRIO_PROCESS, id_t(::gettid()), niceness);  // of this thread alone
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return job_ || stopping_; });
        if (!job_) return;
        lock.unlock();
        std::exception_ptr failure;
        try {
            job_();
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        failure_ = failure;
        job_ = nullptr;
        changed_.notify_all();
    }
}

}  // namespace hadal
