// Ctrl-C, SIGTERM, and SIGUSR1 (with which Slurm announces that a job will be taken off its
// machine) as a question that a loop asks between two steps. Blocked rather than handled:
// no handler, no global state, and no system call of ours is interrupted half-way.
#pragma once

#include <csignal>

namespace hadal::cli {

class StopSignals {
  public:
    /// Before any thread is made: threads inherit what is blocked.
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    /// Whether one of them came; true from then on.
    bool requested();

  private:
    sigset_t signals_;
    sigset_t before_;
    bool requested_ = false;
};

/// SIGHUP, with which a service is told to read its files again, in the same way.
class ReloadSignal {
  public:
    ReloadSignal();
    ~ReloadSignal();
    ReloadSignal(const ReloadSignal&) = delete;
    ReloadSignal& operator=(const ReloadSignal&) = delete;

    /// Whether it came since the last time this was asked.
    bool requested();

  private:
    sigset_t signals_;
    sigset_t before_;
};

}  // namespace hadal::cli
