// Where collected text comes from: the files under some folders, in an order that does not depend
// on the file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hadal::data {

struct Source {
    std::string name;                          // letters, digits, '_', '-', '.'
    std::vector<std::filesystem::path> roots;  // folders, searched to the bottom, or single files
    std::vector<std::string> patterns =
        {};                 // ".h" an ending, "copyright" a whole name; none: every file
    double weight = 1;      // how much more often than its size it is to be seen in training
    int64_t max_bytes = 0;  // of kept text; 0: all. What is kept is spread over the folders
};

struct FoundFiles {
    std::vector<std::filesystem::path> paths;
    int64_t symbolic_links = 0;  // not followed: no loops, and nothing from outside the folders
};

/// Regular files of a source: sorted by path bytes, or, where `max_bytes` will cut the list, in the
/// order of a hash of the path, so that the part that is kept is a sample of all. Error(bad_input)
/// for a root that does not exist.
FoundFiles find_files(const Source& source);

}  // namespace hadal::data
