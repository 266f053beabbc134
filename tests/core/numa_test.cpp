#include "core/numa.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "checkpoint/temporary_directory.h"
#include "core/thread_pool.h"

using namespace hadal;

namespace {

using Numbers = std::vector<int>;

/// A tree as the kernel shows it.
void add_node(const std::filesystem::path& tree, const std::string& name, const std::string& list) {
    std::filesystem::create_directories(tree / name);
    std::ofstream(tree / name / "cpulist") << list;
}

std::vector<NumaNode> nodes_with(const std::vector<size_t>& processors) {
    std::vector<NumaNode> nodes;
    for (const size_t count : processors) {
        nodes.push_back({int(nodes.size()), Numbers(count)});
    }
    return nodes;
}

}  // namespace

TEST_CASE("numa: the kernel's lists of processors") {
    CHECK(numbers_in_list("0-3,8,10-11\n") == Numbers{0, 1, 2, 3, 8, 10, 11});
    CHECK(numbers_in_list("7") == Numbers{7});
    CHECK(numbers_in_list("").empty());
    CHECK(numbers_in_list("\n").empty());
    for (const char* wrong : {"a", "3-1", "1,-2", "1-", "0-99999999", "99999999999", "1;2"}) {
        CAPTURE(wrong);
        CHECK(numbers_in_list(wrong).empty());
    }
}

TEST_CASE("numa: nodes are those with processors of ours") {
    const test::TemporaryDirectory folder;
    const int own = numa_nodes().empty() ? 0 : numa_nodes().front().processors.front();
    add_node(folder.path(), "node10", std::to_string(own) + "\n");
    add_node(folder.path(), "node2", std::to_string(own) + ",60000\n");
    add_node(folder.path(), "node3", "\n");       // memory alone
    add_node(folder.path(), "node4", "60001\n");  // not for this process
    add_node(folder.path(), "power", "0\n");
    const auto nodes = numa_nodes(folder.path());
    REQUIRE(nodes.size() == 2);
    CHECK(nodes[0].id == 2);
    CHECK(nodes[0].processors == Numbers{own});
    CHECK(nodes[1].id == 10);
    CHECK(numa_nodes(folder.path() / "nothing").empty());
}

TEST_CASE("numa: every node gets threads by its processors, neighbours together") {
    using Places = std::vector<size_t>;
    CHECK(nodes_of_threads(nodes_with({2, 2}), 4) == Places{0, 0, 1, 1});
    CHECK(nodes_of_threads(nodes_with({2, 2}), 2) == Places{0, 1});
    CHECK(nodes_of_threads(nodes_with({2, 2}), 8) == Places{0, 0, 0, 0, 1, 1, 1, 1});
    CHECK(nodes_of_threads(nodes_with({3, 1}), 4) == Places{0, 0, 0, 1});
    CHECK(nodes_of_threads(nodes_with({1, 1, 1}), 1) == Places{0});
}

TEST_CASE("numa: a machine of one node is left as it is, and a pool on two of them works") {
    CHECK(!spread_memory(nodes_with({4})));
    auto nodes = numa_nodes();
    if (nodes.empty()) return;  // the system does not tell
    nodes.push_back(nodes.front());
    ThreadPool pool(3, nodes);
    std::vector<int> seen(1000);
    pool.parallel_for(1000, [&](int64_t i) { ++seen[size_t(i)]; });
    CHECK(std::ranges::all_of(seen, [](int times) { return times == 1; }));
}
