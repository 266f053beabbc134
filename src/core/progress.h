// How far a long task is: a line on the terminal with share, rate and time left. Nothing is printed
// where standard error is not a terminal. Time comes from a clock that never jumps.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hadal {

/// What a long task calls now and then, from one thread: units done of all there are.
using ProgressCallback = std::function<void(int64_t done, int64_t total)>;

/// The rate of the last ten seconds or so: single steps are restless, and the mean since the start
/// never learns that the machine has got busy.
class ProgressRate {
  public:
    /// `seconds` since any fixed moment, `done` units so far. What was done before the first call
    /// (of a resumed run) is not counted.
    void update(double seconds, double done);
    /// Units per second; 0 before two calls.
    double per_second() const;

  private:
    bool started_ = false;
    double last_seconds_ = 0;
    double last_done_ = 0;
    double time_ = 0;    // seconds, older ones fading
    double amount_ = 0;  // units done in them
};

/// "8 s", "3:07", "2:03:00", "17 days".
std::string duration_text(double seconds);
/// 950, "12.3k", "1.20M": three digits.
std::string short_number(double value);

struct ProgressState {
    int64_t done = 0;
    int64_t total = 0;      // 0: unknown, no bar and no time left
    double per_second = 0;  // 0: unknown
    std::string_view unit;  // "tokens"
    std::string_view note;  // before the rate: "step 12  loss 2.310"
};
std::string progress_text(const ProgressState& state);

/// The line itself, written over at every call and ended with the object.
class ProgressLine {
  public:
    /// `wanted` false prints nothing, whatever standard error is.
    ProgressLine(std::string_view unit, bool wanted);
    ~ProgressLine();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show(int64_t done, int64_t total, std::string_view note = "");
    /// show() as a callback; must not outlive this.
    ProgressCallback callback();

  private:
    using Clock = std::chrono::steady_clock;

    std::string unit_;
    bool on_terminal_;
    bool shown_ = false;
    Clock::time_point begin_ = Clock::now();
    double last_shown_ = -1;
    size_t last_width_ = 0;
    ProgressRate rate_;
};

}  // namespace hadal
