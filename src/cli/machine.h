// The threads, scratch memory and instruction set that a verb computes with, as the options ask.
#pragma once

#include "cli/arguments.h"
#include "core/context.h"
#include "core/numa.h"

namespace hadal::cli {

class Machine {
  public:
    explicit Machine(const Globals& globals)
        : nodes_(numa_nodes()),
          spreads_memory_(spread_memory(nodes_)),
          threads_(globals.threads, nodes_),
          context_{threads_, workspace_, globals.isa} {}

    Context& context() {
        return context_;
    }
    /// Memory nodes with processors for this process.
    int64_t nodes() const {
        return int64_t(nodes_.size());
    }
    /// Whether new pages take turns between them.
    bool spreads_memory() const {
        return spreads_memory_;
    }

  private:
    std::vector<NumaNode> nodes_;
    bool spreads_memory_;
    ThreadPool threads_;
    Workspace workspace_;
    Context context_;
};

}  // namespace hadal::cli
