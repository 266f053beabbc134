// A loop over parameters that keeps all threads busy: a mixture-of-experts model has thousands of
// small ones, each too little to divide, and a few large ones.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/context.h"
#include "optim/adamw.h"

namespace hadal::optim {

/// body(context, i) once for every parameter, in any order and on any thread; what it computes must
/// depend on i alone. Large parameters come one after the other, with the threads inside; small
/// ones side by side, each on one thread with scratch memory of its own.
template <class Body>
void for_each_parameter(Context& context, std::span<const OptimizedParameter> parameters,
                        const Body& body) {
    constexpr int64_t kLarge = 1 << 19;  // elements: enough to divide among many threads
    std::vector<size_t> small;
    for (size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i].parameter.count() < kLarge) {
            small.push_back(i);
        } else {
            body(context, i);
        }
    }
    const auto scratch = std::make_unique<Workspace[]>(size_t(context.threads.size()));
    context.threads.parallel_ranges(
        int64_t(small.size()), 4, [&](int64_t begin, int64_t end, int thread) {
            // An operator called inside a parallel loop runs on the calling thread alone.
            Context inner{context.threads, scratch[size_t(thread)], context.isa};
            for (int64_t i = begin; i < end; ++i) body(inner, small[size_t(i)]);
        });
}

}  // namespace hadal::optim
