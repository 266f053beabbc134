// Snapshots written while training goes on: save() copies the state, which is the only pause, and a
// thread of low priority writes the copy, slowly, unless somebody waits for it. One snapshot at a
// time: a second save() waits for the first, so that memory stays bounded and a slow disk shows as
// waiting.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/snapshot_writer.h"
#include "core/background_task.h"
#include "core/context.h"

namespace hadal::checkpoint {

/// How the writing of one snapshot ended.
struct SnapshotOutcome {
    int64_t step = 0;
    int64_t bytes = 0;
    double seconds = 0;
    std::string error;  // "" if it was written, else why not: no snapshot of before is touched
};

class SnapshotThread {
  public:
    SnapshotThread(std::filesystem::path snapshots, const SnapshotPolicy& policy);
    /// Finishes what is being written.
    ~SnapshotThread();
    SnapshotThread(const SnapshotThread&) = delete;
    SnapshotThread& operator=(const SnapshotThread&) = delete;

    /// Copies all tensors and returns; they may change from then on. A failure of the one before
    /// that is not the disk's is thrown here, in save_now() and in wait().
    void save(Context& context, const SnapshotContent& content);
    /// Writes on this thread, without a copy: for a run that has nothing else to do.
    SnapshotOutcome save_now(const SnapshotContent& content);
    /// Until nothing is being written.
    void wait();
    /// Those of save() that ended since the last call, oldest first.
    std::vector<SnapshotOutcome> outcomes();

  private:
    SnapshotContent copied(Context& context, const SnapshotContent& content);
    SnapshotOutcome written(const SnapshotContent& content,
                            const std::function<void()>& rest) const;
    void hurry(bool wanted);
    void rest(double& computed_before);

    std::filesystem::path snapshots_;
    SnapshotPolicy policy_;
    Tensor room_;  // [bytes] u8: the copy's memory, kept from one snapshot to the next
    std::mutex mutex_;
    std::condition_variable hurried_;
    bool hurry_ = false;  // somebody waits
    std::vector<SnapshotOutcome> outcomes_;
    BackgroundTask task_;  // last: ends before what it works on
};

}  // namespace hadal::checkpoint
