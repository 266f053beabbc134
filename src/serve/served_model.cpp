#include "serve/served_model.h"

#include <algorithm>

#include "serve/api_error.h"

namespace hadal::serve {

void ServedModel::check_name(const std::string& wanted) const {
    if (wanted.empty() || wanted == name || std::ranges::find(aliases, wanted) != aliases.end()) {
        return;
    }
    throw ApiError(404, "this server has no model of that name; GET /v1/models lists what it has",
                   "model", "model_not_found");
}

}  // namespace hadal::serve
