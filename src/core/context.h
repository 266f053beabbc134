// What every operator is given first: where it runs and with what scratch memory.
#pragma once

#include "core/isa.h"
#include "core/thread_pool.h"
#include "core/workspace.h"

namespace hadal {

struct Context {
    ThreadPool& threads;
    Workspace& workspace;
    Isa isa = best_isa();
};

}  // namespace hadal
