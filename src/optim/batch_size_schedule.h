// Sequences per step as a function of the tokens seen. Report §4.2: "gradually increased from 3072
// to 15360 in the training of the first 469B tokens"; the shape of the ramp is not stated, here it
// is linear in tokens.
#pragma once

#include <cstdint>

namespace hadal::optim {

struct BatchSizeSchedule {
    int64_t first = 0;        // sequences at the beginning; 0: no ramp
    int64_t sequences = 1;    // at its end
    int64_t ramp_tokens = 0;  // length of the ramp
    int64_t multiple = 1;     // sizes on the ramp are rounded down to it, but not below it
};

int64_t batch_size(const BatchSizeSchedule& schedule, int64_t tokens);

}  // namespace hadal::optim
