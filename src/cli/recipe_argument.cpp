#include "cli/recipe_argument.h"

#include "core/error.h"

namespace hadal::cli {

train::Recipe read_recipe_argument(const Arguments& arguments) {
    std::vector<std::string> sets = arguments.texts("--set");
    const Globals& globals = arguments.globals();
    if (globals.seed.has_value()) sets.push_back(concat("run.seed=", globals.seed.value()));
    if (globals.dtype.has_value())
        sets.push_back(concat("run.dtype=", name(globals.dtype.value())));
    return train::read_recipe(arguments.path("RECIPE"), sets);
}

}  // namespace hadal::cli
