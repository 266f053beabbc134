// The same question for several values of one input: a table of the headline figures, and a
// picture of how they move.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plan/answer.h"

namespace hadal::plan {

struct SweepPoint {
    std::string value;  // as typed
    Answer answer;
    std::string error;  // why this value is impossible; then there is no answer
};

struct Sweep {
    std::string key;
    std::vector<SweepPoint> points;
};

/// Asks for each value. Impossible values stay in the table with their reason; Error of the first
/// if all are.
Sweep sweep(const std::string& key, const std::vector<std::string>& values,
            const std::function<Answer(const std::string& value)>& ask);

/// "pp=8,16,32" in two. Error(usage) if it has another form.
struct SweepRequest {
    std::string key;
    std::vector<std::string> values;
};
SweepRequest parse_sweep(std::string_view text);

Table sweep_table(const Sweep& sweep);

/// A chart for each headline figure, in its own unit.
std::string sweep_svg(const Sweep& sweep, const std::string& title);

}  // namespace hadal::plan
