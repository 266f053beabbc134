// What the sources state about the published run and service: the planner is held against these.
#pragma once

#include <span>

#include "plan/answer.h"

namespace hadal::plan {

struct PublishedFigure {
    std::string_view key;  // of a Figure
    double value;
    double tolerance;  // relative, of the tests
    Mark mark;         // whether the inputs were fitted to this figure or to others
    std::string_view source;
};

/// Training of the 671B model on 2048 H800; its memory; its service.
std::span<const PublishedFigure> published_figures();

/// Whether inputs and model are those of the published run, so that a comparison makes sense.
bool is_published_run(const Inputs& inputs);

/// Adds what is published of the figures in `answer`, and the marks.
void compare_with_published(Answer& answer);

}  // namespace hadal::plan
