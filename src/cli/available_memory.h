// How much memory this process can still take: what the kernel says is available, or less where a
// control group (a container, a batch system) or a limit of the process is narrower.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hadal::cli {

struct AvailableMemory {
    int64_t bytes = INT64_MAX;  // nothing known: no limit
    std::string limited_by;  // "MemAvailable", "the control group /job", "the address space limit"
};

/// Reads /proc/meminfo, /proc/self/cgroup, and the control group's files, of version 1 or 2, all
/// below `root` ("/" outside tests). What cannot be read limits nothing.
AvailableMemory available_memory(const std::filesystem::path& root);

/// Narrowed by RLIMIT_AS and RLIMIT_DATA of this process, less what it holds of them now.
AvailableMemory available_memory_of_process();

}  // namespace hadal::cli
