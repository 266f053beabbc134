#include "serve/page.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::serve {

const Page& page(std::string_view name) {
    const auto found = std::ranges::find(kPages, name, &Page::name);
    HADAL_ASSERT(found != kPages.end());
    return *found;
}

}  // namespace hadal::serve
