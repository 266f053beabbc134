// Any bytes as a recipe: refused with an Error, or a recipe whose resolved text is the same recipe.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"
#include "train/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string resolved;
    try {
        resolved = hadal::train::recipe_text(hadal::train::parse_recipe(text, "input", {}));
    } catch (const hadal::Error&) {
        return 0;
    }
    // Outside of the try: what this project wrote must be accepted.
    const auto again = hadal::train::parse_recipe(resolved, "output", {});
    if (hadal::train::recipe_text(again) != resolved) std::abort();
    return 0;
}
