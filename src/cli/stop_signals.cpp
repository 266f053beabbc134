#include "cli/stop_signals.h"

#include <ctime>

namespace hadal::cli {

StopSignals::StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

StopSignals::~StopSignals() {
    // Those that came late have done their duty: let none of them kill the process after its work
    // is saved.
    requested();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool StopSignals::requested() {
    const timespec at_once{};
    while (sigtimedwait(&signals_, nullptr, &at_once) > 0) requested_ = true;
    return requested_;
}

ReloadSignal::ReloadSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

ReloadSignal::~ReloadSignal() {
    requested();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool ReloadSignal::requested() {
    const timespec at_once{};
    bool came = false;
    while (sigtimedwait(&signals_, nullptr, &at_once) > 0) came = true;
    return came;
}

}  // namespace hadal::cli
