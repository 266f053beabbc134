#include "cli/train_watch.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "cli/stop_signals.h"
#include "cli/train_record.h"
#include "core/error.h"
#include "train/metrics_tail.h"
#include "train/recipe.h"
#include "train/watch_view.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// The alternate screen without echo and cursor; what was there before comes back at the end.
class FullScreen {
  public:
    FullScreen() {
        tcgetattr(STDIN_FILENO, &before_);
        termios raw = before_;
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        write("\x1b[?1049h\x1b[?25l");
    }
    ~FullScreen() {
        write("\x1b[?25h\x1b[?1049l");
        tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    FullScreen(const FullScreen&) = delete;
    FullScreen& operator=(const FullScreen&) = delete;

    static train::WatchScreen size() {
        winsize size{};
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
            return {.columns = 80, .rows = 24, .color = true};
        // The last line stays free: a line's end there would scroll.
        return {.columns = size.ws_col, .rows = size.ws_row - 1, .color = true};
    }
    void draw(const std::string& text) {
        std::string whole = "\x1b[H";
        for (const char c : text) whole += c == '\n' ? "\x1b[K\n" : std::string(1, c);
        write(whole + "\x1b[J");
    }

  private:
    static void write(const std::string& text) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
    }
    termios before_{};
};

/// Waits half a second for a key; true if it is q.
bool quit_pressed() {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, 500) <= 0) return false;
    char key = 0;
    return ::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

class Watcher {
  public:
    explicit Watcher(fs::path run) : run_(std::move(run)), tail_(run_ / "metrics.jsonl") {
        if (!fs::exists(run_ / "metrics.jsonl")) {
            throw Error(Error::Kind::bad_input, concat("no run to watch: ", run_.string(),
                                                       " holds no metrics.jsonl (give a run.out)"));
        }
        shown_.name = run_.string();
    }

    const train::WatchedRun& look() {
        if (tail_.poll()) {
            shown_.history = tail_.history();
            last_step_ = Clock::now();
        }
        shown_.expert_load = train::read_expert_load(run_);
        shown_.total_tokens = total_tokens();
        shown_.finished = shown_.total_tokens > 0 && !shown_.history.empty() &&
                          shown_.history.back().tokens >= shown_.total_tokens;
        shown_.seconds_without_step =
            std::chrono::duration<double>(Clock::now() - last_step_).count();
        return shown_;
    }

  private:
    /// A recipe that cannot be read, of another version say, leaves the time left unknown.
    int64_t total_tokens() const {
        try {
            return train::read_recipe(run_ / "recipe.toml", {}).total_tokens();
        } catch (const Error&) {
            return 0;
        }
    }

    fs::path run_;
    train::MetricsTail tail_;
    train::WatchedRun shown_;
    Clock::time_point last_step_ = Clock::now();
};

}  // namespace

void run_train_watch(const Arguments& arguments, Report& report) {
    Watcher watcher(arguments.path("--watch"));
    if (report.json()) {
        const train::WatchedRun& run = watcher.look();
        report.add("finished", run.finished);
        report.add("total_tokens", run.total_tokens);
        report.add("steps", run.history.empty() ? 0 : run.history.back().step);
        if (!run.history.empty()) report.add_row("last", step_record(run.history.back()));
        return;
    }
    if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0)
        return report.say_part(train::watch_text(watcher.look(), {}));
    StopSignals signals;
    FullScreen screen;
    do {
        screen.draw(train::watch_text(watcher.look(), FullScreen::size()) + "q quits\n");
    } while (!quit_pressed() && !signals.requested());
}

}  // namespace hadal::cli
