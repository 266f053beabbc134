#include "cli/file_argument.h"

#include "core/error.h"
#include "core/file_map.h"

namespace hadal::cli {

std::string file_content(const Arguments& arguments, std::string_view option) {
    const std::string& source = arguments.text(option);
    return read_file(source == "-" ? "/dev/stdin" : source);
}

std::filesystem::path output_argument(const Arguments& arguments, std::string_view option) {
    const std::filesystem::path path = arguments.path(option);
    if (std::filesystem::exists(path) && !arguments.flag("--force")) {
        throw Error(Error::Kind::usage, concat("output exists: ", path.string(),
                                               " (choose another name or give --force)"));
    }
    return path;
}

}  // namespace hadal::cli
