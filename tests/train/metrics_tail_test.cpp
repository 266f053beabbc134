#include "train/metrics_tail.h"

#include <doctest/doctest.h>

#include <fstream>

#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"

using namespace hadal;
using namespace hadal::train;

namespace {

std::string line(int64_t step) {
    return metrics_line({.step = step, .loss = double(step)}) + "\n";
}

void append(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

}  // namespace

TEST_CASE("tail: takes in what is new, and waits for the end of a line") {
    const test::TemporaryDirectory folder;
    const auto path = folder / "metrics.jsonl";
    MetricsTail tail(path);
    CHECK_FALSE(tail.poll());
    append(path, line(1) + line(2));
    CHECK(tail.poll());
    CHECK(tail.history().size() == 2);
    CHECK_FALSE(tail.poll());
    const std::string third = line(3);
    append(path, third.substr(0, 20));
    CHECK_FALSE(tail.poll());
    append(path, third.substr(20));
    CHECK(tail.poll());
    CHECK(tail.history().back().step == 3);
    append(path, "nonsense\n" + line(4));
    CHECK(tail.poll());
    CHECK(tail.history().size() == 4);
}

TEST_CASE("tail: a file replaced by a resume, cut, or removed is read anew") {
    const test::TemporaryDirectory folder;
    const auto path = folder / "metrics.jsonl";
    append(path, line(1) + line(2) + line(3));
    MetricsTail tail(path);
    tail.poll();
    // A resume drops the lines after the snapshot; here it has by now written more than it dropped.
    write_file_atomically(path, line(1) + line(20) + line(30) + line(40));
    CHECK(tail.poll());
    REQUIRE(tail.history().size() == 4);
    CHECK(tail.history()[1].step == 20);
    std::filesystem::resize_file(path, line(1).size());
    CHECK(tail.poll());
    CHECK(tail.history().size() == 1);
    std::filesystem::remove(path);
    CHECK(tail.poll());
    CHECK(tail.history().empty());
    CHECK_FALSE(tail.poll());
}
