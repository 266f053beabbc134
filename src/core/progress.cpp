#include "core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace hadal {

void ProgressRate::update(double seconds, double done) {
    constexpr double kMemory = 10;        // seconds
    if (started_ && done < last_done_) {  // another task of the same kind has begun
        time_ = 0;
        amount_ = 0;
    } else if (started_) {
        const double passed = std::max(0.0, seconds - last_seconds_);
        const double fade = std::exp(-passed / kMemory);
        time_ = fade * time_ + passed;
        amount_ = fade * amount_ + (done - last_done_);
    }
    started_ = true;
    last_seconds_ = seconds;
    last_done_ = done;
}

double ProgressRate::per_second() const {
    return time_ > 0 ? amount_ / time_ : 0;
}

std::string duration_text(double seconds) {
    char text[32];
    const double rounded = std::round(seconds);
    if (!(rounded < 4e9)) return "for ever";  // a century, or not a number
    const auto whole = static_cast<long long>(std::max(0.0, rounded));
    if (whole < 60) {
        std::snprintf(text, sizeof text, "%lld s", whole);
    } else if (whole < 3600) {
        std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
    } else if (whole < 48 * 3600LL) {
        std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                      whole % 60);
    } else {
        std::snprintf(text, sizeof text, "%lld days", (whole + 43200) / 86400);
    }
    return text;
}

std::string short_number(double value) {
    constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    while (std::abs(value) >= 999.5 && unit + 1 < std::size(kUnits)) {
        value /= 1000;
        ++unit;
    }
    const int decimals = unit == 0 && value == std::floor(value) ? 0
                         : std::abs(value) < 9.995               ? 2
                         : std::abs(value) < 99.95               ? 1
                                                                 : 0;
    char text[32];
    std::snprintf(text, sizeof text, "%.*f%s", decimals, value, kUnits[unit]);
    return text;
}

std::string progress_text(const ProgressState& state) {
    constexpr int kBar = 20;
    std::string text;
    if (state.total > 0) {
        const double share = std::clamp(double(state.done) / double(state.total), 0.0, 1.0);
        char begin[48];
        std::snprintf(begin, sizeof begin, "%3d%% [%-*.*s]", int(share * 100), kBar,
                      int(share * kBar), "====================");
        text = begin;
    } else {
        text = short_number(double(state.done)) + " " + std::string(state.unit);
    }
    if (!state.note.empty()) text += " " + std::string(state.note);
    if (!(state.per_second > 0)) return text;
    text += "  " + short_number(state.per_second) + " " + std::string(state.unit) + "/s";
    if (state.total > 0) {
        const auto left = double(std::max<int64_t>(0, state.total - state.done));
        text += "  " + duration_text(left / state.per_second) + " left";
    }
    return text;
}

ProgressLine::ProgressLine(std::string_view unit, bool wanted)
    : unit_(unit), on_terminal_(wanted && ::isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
    if (shown_) std::fputc('\n', stderr);
}

void ProgressLine::show(int64_t done, int64_t total, std::string_view note) {
    if (!on_terminal_) return;
    constexpr double kPause = 0.1;  // seconds between two lines; nobody reads faster
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    rate_.update(seconds, double(done));
    if (shown_ && done < total && seconds - last_shown_ < kPause) return;
    const std::string text = progress_text({.done = done,
                                            .total = total,
                                            .per_second = rate_.per_second(),
                                            .unit = unit_,
                                            .note = note});
    // Blanks over what a longer line left.
    const size_t blanks = last_width_ > text.size() ? last_width_ - text.size() : 0;
    std::fprintf(stderr, "\r%s%*s", text.c_str(), int(blanks), "");
    std::fflush(stderr);
    shown_ = true;
    last_shown_ = seconds;
    last_width_ = text.size();
}

ProgressCallback ProgressLine::callback() {
    return [this](int64_t done, int64_t total) { show(done, total); };
}

}  // namespace hadal
