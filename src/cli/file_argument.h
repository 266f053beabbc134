// Arguments that name files, as several verbs accept them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "cli/arguments.h"

namespace hadal::cli {

/// The content of the file that an option names; "-" is standard input.
std::string file_content(const Arguments& arguments, std::string_view option);

/// The path that an option names, where nothing may be yet: Error(usage) unless --force.
std::filesystem::path output_argument(const Arguments& arguments, std::string_view option);

}  // namespace hadal::cli
