// Pictures of a schedule in time: for a page (SVG), a terminal (text), and a trace viewer.
#pragma once

#include <string>

#include "pipeline/simulate.h"

namespace hadal::pipeline {

/// A row for each rank, a cell for each computation with the number of its micro-batch, as in the
/// V3 report's figure 5; the darker shade is the rank's second stage. A pair is one framed cell.
std::string draw_svg(const Schedule& schedule, const Timing& timing, const Timeline& timeline);

/// The letters of draw_text.
enum class Letters {
    unicode,  // ▷ forward, ◀ backward, ◁ its input part, ■ its weight part
    ascii,    // F B I W
};

/// A line for each rank and a legend. The shortest computation is three letters wide if the line
/// stays below 400 letters; shorter ones lose the end of their number.
std::string draw_text(const Schedule& schedule, const Timeline& timeline, Letters letters);

/// The trace event format of Chrome and Perfetto: a thread for each rank, an arrow for each
/// message. One unit of time is shown as a millisecond.
std::string draw_trace(const Schedule& schedule, const Timeline& timeline);

}  // namespace hadal::pipeline
