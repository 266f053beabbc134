#include "core/numa.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <fstream>
#include <numeric>
#include <string>
#include <system_error>

namespace hadal {

namespace {

constexpr int kMostNumber = 1 << 16;  // a list beyond it is none of the kernel's

std::vector<int> usable(std::vector<int> processors) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return processors;
    std::erase_if(processors, [&](int p) { return p >= CPU_SETSIZE || !CPU_ISSET(p, &set); });
    return processors;
}

/// The number that ends "node7"; −1 where there is none.
int node_number(const std::string& name) {
    constexpr std::string_view kPrefix = "node";
    if (!name.starts_with(kPrefix)) return -1;
    int id = -1;
    const char* end = name.data() + name.size();
    const auto [last, error] = std::from_chars(name.data() + kPrefix.size(), end, id);
    return error == std::errc() && last == end ? id : -1;
}

}  // namespace

std::vector<int> numbers_in_list(std::string_view list) {
    std::vector<int> numbers;
    const char* at = list.data();
    const char* const end = at + list.size();
    const auto read = [&](int& number) {
        const auto [last, error] = std::from_chars(at, end, number);
        at = last;
        return error == std::errc() && number >= 0 && number < kMostNumber;
    };
    while (at != end && *at != '\n') {
        int first = 0;
        if (!read(first)) return {};
        int last = first;
        if (at != end && *at == '-') {
            ++at;
            if (!read(last) || last < first) return {};
        }
        for (int number = first; number <= last; ++number) numbers.push_back(number);
        if (at != end && *at == ',') ++at;
    }
    return numbers;
}

std::vector<NumaNode> numa_nodes(const std::filesystem::path& tree) {
    std::vector<NumaNode> nodes;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(tree, error)) {
        NumaNode node{.id = node_number(entry.path().filename().string())};
        if (node.id < 0) continue;
        std::ifstream file(entry.path() / "cpulist");
        std::string list;
        std::getline(file, list);
        node.processors = usable(numbers_in_list(list));
        if (!node.processors.empty()) nodes.push_back(std::move(node));
    }
    std::ranges::sort(nodes, {}, &NumaNode::id);
    return nodes;
}

std::vector<size_t> nodes_of_threads(const std::vector<NumaNode>& nodes, int threads) {
    const size_t processors =
        std::accumulate(nodes.begin(), nodes.end(), size_t(0),
                        [](size_t sum, const NumaNode& n) { return sum + n.processors.size(); });
    std::vector<size_t> result;
    size_t node = 0, passed = 0;  // processors of the nodes before
    for (size_t i = 0; i < size_t(threads); ++i) {
        // Thread i of `threads` stands where its share of all processors does.
        const size_t place = i * processors / size_t(threads);
        while (node + 1 < nodes.size() && place >= passed + nodes[node].processors.size()) {
            passed += nodes[node].processors.size();
            ++node;
        }
        result.push_back(node);
    }
    return result;
}

void stay_on(const NumaNode& node) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int processor : node.processors) {
        if (processor < CPU_SETSIZE) CPU_SET(processor, &set);
    }
    sched_setaffinity(0, sizeof set, &set);  // if not, the system places the thread
}

bool spread_memory(const std::vector<NumaNode>& nodes) {
    constexpr int kWordBits = int(sizeof(unsigned long) * CHAR_BIT);
    std::array<unsigned long, 1024 / kWordBits> mask{};
    int policy = MPOL_DEFAULT;
    if (nodes.size() < 2 || nodes.back().id >= 1024) return false;
    if (syscall(SYS_get_mempolicy, &policy, nullptr, 0, nullptr, 0) != 0) return false;
    if (policy != MPOL_DEFAULT) return false;
    for (const NumaNode& node : nodes) {
        mask[size_t(node.id / kWordBits)] |= 1UL << node.id % kWordBits;
    }
    return syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.data(), 1024 + 1) == 0;
}

}  // namespace hadal
