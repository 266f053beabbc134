#include "core/error.h"

#include <cstdio>

namespace hadal {

void assertion_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "hadal: internal error: %s does not hold at %s:%d\n", condition, file,
                 line);
    std::abort();
}

}  // namespace hadal
