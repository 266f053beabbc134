#include "data/source.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "data/content_hash.h"

namespace hadal::data {

namespace {

namespace fs = std::filesystem;

bool selected(const fs::path& path, const std::vector<std::string>& patterns) {
    if (patterns.empty()) return true;
    const std::string file = path.filename().string();
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return pattern.front() == '.' ? file.size() > pattern.size() && file.ends_with(pattern)
                                      : file == pattern;
    });
}

void search(const fs::path& folder, const Source& source, FoundFiles& found) {
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator entry(folder, options, error), end; entry != end;
         entry.increment(error)) {
        if (error) break;
        std::error_code unreadable;  // an entry that vanished in between is not a regular file
        if (entry->is_symlink(unreadable)) {
            ++found.symbolic_links;
        } else if (entry->is_regular_file(unreadable) && selected(entry->path(), source.patterns)) {
            found.paths.push_back(entry->path());
        }
    }
    if (error) {
        throw Error(Error::Kind::io,
                    concat("cannot list ", folder.string(), ": ", error.message()));
    }
}

}  // namespace

FoundFiles find_files(const Source& source) {
    FoundFiles found;
    for (const fs::path& root : source.roots) {
        std::error_code error;
        if (fs::is_directory(root, error)) {
            search(root, source, found);
        } else if (fs::is_regular_file(root, error)) {
            found.paths.push_back(root);
        } else {
            throw Error(Error::Kind::bad_input, concat("source '", source.name,
                                                       "': no such folder or file: ", root.string(),
                                                       " (leave it out or correct the path)"));
        }
    }
    std::vector<std::pair<uint64_t, std::string>> order;
    for (const fs::path& path : found.paths) {
        const std::string text = path.string();
        order.emplace_back(source.max_bytes > 0 ? content_hash(text) : 0, text);
    }
    std::sort(order.begin(), order.end());
    order.erase(std::unique(order.begin(), order.end()), order.end());
    found.paths.clear();
    for (auto& [hash, text] : order) found.paths.emplace_back(std::move(text));
    return found;
}

}  // namespace hadal::data
