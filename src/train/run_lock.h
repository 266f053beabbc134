// One job at a time in a run's directory: two would delete each other's snapshots. The kernel holds
// the lock for as long as the process lives, so that none is ever left over by a kill.
#pragma once

#include <filesystem>

namespace hadal::train {

class RunLock {
  public:
    /// Takes RUN/lock, which stays there for ever, and writes who has it. Error(bad_input) says who
    /// has it already: another process, or another run of this one. Error(io) if the file cannot be
    /// written.
    explicit RunLock(const std::filesystem::path& run);
    ~RunLock();
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;

    /// False on a file system that has no locks: the user must watch for a second job.
    bool held() const {
        return held_;
    }

  private:
    int descriptor_ = -1;
    bool held_ = false;
};

}  // namespace hadal::train
