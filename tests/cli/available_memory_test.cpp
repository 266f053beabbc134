#include "cli/available_memory.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"

using namespace hadal;
using namespace hadal::cli;

namespace {

constexpr const char* kMeminfo =
    "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n";

/// A system of these files.
AvailableMemory with(const std::map<std::string, std::string>& files) {
    const test::TemporaryDirectory root;
    for (const auto& [name, text] : files) {
        std::filesystem::create_directories((root / name).parent_path());
        write_file_atomically(root / name, text);
    }
    return available_memory(root.path());
}

}  // namespace

TEST_CASE("memory: without control groups it is what the kernel says") {
    const auto available = with({{"proc/meminfo", kMeminfo}});
    CHECK(available.bytes == 8000000LL * 1024);
    CHECK(available.limited_by == "MemAvailable");
}

TEST_CASE("memory: the narrowest group on the way up counts, less what it holds and cannot drop") {
    const auto available = with({
        {"proc/meminfo", kMeminfo},
        {"proc/self/cgroup", "0::/jobs/one\n"},
        {"sys/fs/cgroup/jobs/one/memory.max", "max\n"},
        {"sys/fs/cgroup/jobs/one/memory.current", "1000\n"},
        {"sys/fs/cgroup/jobs/memory.max", "5000000\n"},
        {"sys/fs/cgroup/jobs/memory.current", "3000000\n"},
        {"sys/fs/cgroup/jobs/memory.stat", "anon 2500000\ninactive_file 400000\n"},
    });
    CHECK(available.bytes == 2400000);
    CHECK(available.limited_by == "the control group /jobs");
}

TEST_CASE("memory: control groups of version 1") {
    const auto available = with({
        {"proc/meminfo", kMeminfo},
        {"proc/self/cgroup", "3:cpu,cpuacct:/x\n7:memory:/slurm/job\n0::/\n"},
        {"sys/fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "2000\n"},
        {"sys/fs/cgroup/memory/slurm/job/memory.usage_in_bytes", "1500\n"},
        {"sys/fs/cgroup/memory/slurm/job/memory.stat", "cache 9\ntotal_inactive_file 100\n"},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
        {"sys/fs/cgroup/memory/memory.usage_in_bytes", "1500\n"},
    });
    CHECK(available.bytes == 600);
    CHECK(available.limited_by == "the control group /slurm/job");
}

TEST_CASE("memory: a container's root group, a group over its limit, and files of nonsense") {
    CHECK(with({{"proc/meminfo", kMeminfo},
                {"proc/self/cgroup", "0::/\n"},
                {"sys/fs/cgroup/memory.max", "4096\n"},
                {"sys/fs/cgroup/memory.current", "5000\n"}})
              .bytes == 0);
    CHECK(with({}).bytes == INT64_MAX);
    CHECK(with({{"proc/meminfo", "MemAvailable: lots\n"},
                {"proc/self/cgroup", "nonsense\n0:\n::\n"},
                {"sys/fs/cgroup/memory.max", "a few\n"}})
              .bytes == INT64_MAX);
}

TEST_CASE("memory: this process has some") {
    const auto available = available_memory_of_process();
    CHECK(available.bytes > 0);
    CHECK_FALSE(available.limited_by.empty());
}
