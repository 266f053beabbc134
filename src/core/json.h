// Reading JSON that comes from outside. Building it is nlohmann's own business, in the .cpp file
// that does it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace hadal {

/// The value that `text` holds. Error(corrupt_file) names `where` and the byte if it is not valid
/// JSON in UTF-8, names one key of one object twice, or nests deeper than any file of ours could.
nlohmann::json parse_json(std::string_view text, std::string_view where);

}  // namespace hadal
