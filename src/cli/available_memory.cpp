#include "cli/available_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "core/error.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;

/// The number after `name` in a file of lines "name number …"; with an empty name its first word.
std::optional<int64_t> number_in(const fs::path& path, const std::string& name) {
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string word;
        if (!name.empty() && !(words >> word && word == name)) continue;
        int64_t value = 0;
        if (words >> value) return value;
        if (name.empty()) return std::nullopt;  // "max"
    }
    return std::nullopt;
}

void narrow(AvailableMemory& available, int64_t bytes, const std::string& by) {
    if (bytes >= available.bytes) return;
    available = {.bytes = std::max<int64_t>(0, bytes), .limited_by = by};
}

/// One group's limit less what it holds; file pages that can be dropped are not held.
void narrow_by_group(AvailableMemory& available, const fs::path& directory, const std::string& name,
                     bool version_2) {
    const auto limit =
        number_in(directory / (version_2 ? "memory.max" : "memory.limit_in_bytes"), "");
    const auto used =
        number_in(directory / (version_2 ? "memory.current" : "memory.usage_in_bytes"), "");
    if (!limit || !used) return;
    const auto cached =
        number_in(directory / "memory.stat", version_2 ? "inactive_file" : "total_inactive_file");
    narrow(available, *limit - *used + cached.value_or(0), concat("the control group ", name));
}

/// The groups from `name` up to the root: each may be the narrowest.
void narrow_by_groups(AvailableMemory& available, const fs::path& mount, fs::path name,
                      bool version_2) {
    while (true) {
        narrow_by_group(available, mount / name.relative_path(), name.string(), version_2);
        if (!name.has_relative_path()) return;
        name = name.parent_path();
    }
}

void narrow_by_limit(AvailableMemory& available, int resource, int64_t held, const char* name) {
    rlimit limit{};
    if (getrlimit(__rlimit_resource_t(resource), &limit) != 0) return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > rlim_t(INT64_MAX)) return;
    narrow(available, int64_t(limit.rlim_cur) - held, name);
}

}  // namespace

AvailableMemory available_memory(const fs::path& root) {
    AvailableMemory available;
    if (const auto kib = number_in(root / "proc/meminfo", "MemAvailable:"))
        narrow(available, *kib * 1024, "MemAvailable");
    std::ifstream groups(root / "proc/self/cgroup");
    std::string line;  // "0::/name" of version 2, "4:cpu,memory:/name" of version 1
    while (std::getline(groups, line)) {
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers =
            concat(",", line.substr(first + 1, second - first - 1), ",");
        const fs::path name = line.substr(second + 1);
        if (controllers == ",,") {
            narrow_by_groups(available, root / "sys/fs/cgroup", name, true);
        } else if (controllers.find(",memory,") != std::string::npos) {
            narrow_by_groups(available, root / "sys/fs/cgroup/memory", name, false);
        }
    }
    return available;
}

AvailableMemory available_memory_of_process() {
    AvailableMemory available = available_memory("/");
    // statm: pages of address space, resident, shared, text, 0, data.
    std::ifstream statm("/proc/self/statm");
    int64_t address_space = 0, ignored = 0, data = 0;
    statm >> address_space >> ignored >> ignored >> ignored >> ignored >> data;
    const int64_t page = sysconf(_SC_PAGESIZE);
    narrow_by_limit(available, RLIMIT_AS, address_space * page, "the limit of the address space");
    narrow_by_limit(available, RLIMIT_DATA, data * page, "the limit of the data segment");
    return available;
}

}  // namespace hadal::cli
