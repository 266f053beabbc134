// Machines whose processors have memory of their own (NUMA nodes). Tasks go to whichever thread is
// free, so weights are spread evenly over the nodes, and every node's memory is read at its speed.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace hadal {

struct NumaNode {
    int id = 0;
    std::vector<int> processors = {};  // that this process may use
};

/// The nodes with processors that this process may use, by number. Less than two where the system
/// tells of one or of none.
std::vector<NumaNode> numa_nodes(const std::filesystem::path& tree = "/sys/devices/system/node");

/// The numbers in the kernel's notation of a set, "0-3,8,10-11"; empty where it is none.
std::vector<int> numbers_in_list(std::string_view list);

/// The node of each thread, its place in `nodes`: neighbours share a node, and every node gets
/// threads by the number of its processors.
std::vector<size_t> nodes_of_threads(const std::vector<NumaNode>& nodes, int threads);

/// This thread stays on the node's processors.
void stay_on(const NumaNode& node);

/// From now on pages that this thread and those it starts touch first, those of mapped files
/// included, take turns between the nodes. Nothing where there are less than two, or where whoever
/// started the program has said where its memory shall be (numactl). True if it was done.
bool spread_memory(const std::vector<NumaNode>& nodes);

}  // namespace hadal
