// The threads, scratch memory and instruction set that a verb computes with, as the options ask.
#pragma once

#include "cli/arguments.h"
#include "core/context.h"

namespace hadal::cli {

class Machine {
  public:
    explicit Machine(const Globals& globals)
        : threads_(globals.threads), context_{threads_, workspace_, globals.isa} {}

    Context& context() {
        return context_;
    }

  private:
    ThreadPool threads_;
    Workspace workspace_;
    Context context_;
};

}  // namespace hadal::cli
