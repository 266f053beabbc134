#include "checkpoint/staged_directory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "checkpoint/temporary_directory.h"
#include "core/error.h"
#include "core/file_map.h"

using namespace hadal;
using checkpoint::StagedDirectory;
namespace fs = std::filesystem;

namespace {

void publish(const fs::path& target, const std::string& content, bool replace) {
    StagedDirectory staged(target);
    write_file_atomically(staged.path() / "file", content);
    staged.publish(replace);
}

int64_t entries(const fs::path& folder) {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

TEST_CASE("staged directory: nothing has the name before publish, and all of it after") {
    const test::TemporaryDirectory folder;
    const fs::path target = folder / "parents" / "target";
    StagedDirectory staged(target);
    CHECK(fs::is_directory(staged.path()));
    CHECK(!fs::exists(target));
    write_file_atomically(staged.path() / "file", "x");
    staged.publish(false);
    CHECK(read_file(target / "file") == "x");
    CHECK(entries(folder / "parents") == 1);
}

TEST_CASE("staged directory: one that is given up leaves nothing") {
    const test::TemporaryDirectory folder;
    {
        const StagedDirectory staged(folder / "target");
        write_file_atomically(staged.path() / "file", "x");
    }
    CHECK(entries(folder.path()) == 0);
}

TEST_CASE("staged directory: an existing one is replaced on request only, and then completely") {
    const test::TemporaryDirectory folder;
    const fs::path target = folder / "target";
    publish(target, "one", false);
    write_file_atomically(target / "old", "old");
    CHECK_THROWS_WITH_AS(publish(target, "two", false), doctest::Contains("already exists"), Error);
    CHECK(read_file(target / "file") == "one");
    CHECK(fs::exists(target / "old"));
    publish(target, "two", true);
    CHECK(read_file(target / "file") == "two");
    CHECK(!fs::exists(target / "old"));
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("staged directory: a slash at the end of the name is no other directory") {
    const test::TemporaryDirectory folder;
    publish(folder / "target/", "x", false);
    CHECK(read_file(folder / "target" / "file") == "x");
    CHECK_THROWS_AS(publish(folder / "target/", "y", false), Error);
}

TEST_CASE("staged directory: what a dead process left of this target goes, all else stays") {
    const test::TemporaryDirectory folder;
    // No process has the largest id: the kernel's own limit is lower.
    const fs::path dead = folder / "target.tmp-2147483647";
    const fs::path alive = folder / concat("target.tmp-", ::getppid());
    const fs::path other = folder / "another.tmp-2147483647", named = folder / "target.tmp-notes";
    for (const fs::path& path : {dead, alive, other, named}) fs::create_directory(path);
    publish(folder / "target", "x", false);
    CHECK(!fs::exists(dead));
    CHECK(fs::exists(alive));
    CHECK(fs::exists(other));
    CHECK(fs::exists(named));
}

TEST_CASE("staged directory: a parent that is a file is named") {
    const test::TemporaryDirectory folder;
    write_file_atomically(folder / "file", "x");
    CHECK_THROWS_WITH_AS(StagedDirectory(folder / "file" / "target"), doctest::Contains("file"),
                         Error);
}
