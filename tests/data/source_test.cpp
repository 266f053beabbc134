#include "data/source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/file_map.h"
#include "data/support.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::Folder;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> names(const FoundFiles& found) {
    std::vector<std::string> result;
    for (const fs::path& path : found.paths) result.push_back(path.filename().string());
    return result;
}

/// Files of a small tree.
struct Tree {
    Tree() {
        for (const char* path : {"a/one.h", "a/deep/two.h", "a/three.c", "b/copyright", "b/.h",
                                 "b/my_copyright", "top.h"}) {
            const fs::path file = folder / path;
            fs::create_directories(file.parent_path());
            write_file_atomically(file, path);
        }
    }
    fs::path root() const {
        return folder.path();
    }
    Folder folder;
};

}  // namespace

TEST_CASE("source: files of all folders below, sorted by their paths") {
    const Tree tree;
    const auto all = find_files({.name = "t", .roots = {tree.root()}});
    CHECK(all.paths.size() == 7);
    CHECK(std::ranges::is_sorted(all.paths, {}, [](const fs::path& p) { return p.string(); }));
    CHECK(all.symbolic_links == 0);
}

TEST_CASE("source: a pattern with a dot is an ending, any other a whole name") {
    const Tree tree;
    const auto found =
        find_files({.name = "t", .roots = {tree.root()}, .patterns = {".h", "copyright"}});
    CHECK(names(found) == std::vector<std::string>{"two.h", "one.h", "copyright", "top.h"});
}

TEST_CASE("source: a file that several roots reach is found once") {
    const Tree tree;
    const auto found =
        find_files({.name = "t", .roots = {tree.root(), tree.root() / "a", tree.root() / "top.h"}});
    CHECK(found.paths.size() == 7);
    CHECK(find_files({.name = "t", .roots = {tree.root() / "top.h"}}).paths.size() == 1);
}

TEST_CASE("source: links are counted and not followed, so that a loop ends") {
    const Tree tree;
    fs::create_directory_symlink(tree.root(), tree.root() / "a" / "loop");
    fs::create_symlink(tree.root() / "top.h", tree.root() / "b" / "link.h");
    const auto found = find_files({.name = "t", .roots = {tree.root()}});
    CHECK(found.paths.size() == 7);
    CHECK(found.symbolic_links == 2);
}

TEST_CASE("source: where a budget will cut the list, its begin is a sample of all folders") {
    const Folder folder;
    for (int i = 0; i < 200; ++i) {
        const fs::path file = folder / concat(i < 100 ? "a/" : "b/", i, ".txt");
        fs::create_directories(file.parent_path());
        write_file_atomically(file, "x");
    }
    const Source source{.name = "t", .roots = {folder.path()}, .max_bytes = 10};
    const auto found = find_files(source);
    const auto first =
        std::count_if(found.paths.begin(), found.paths.begin() + 40,
                      [](const auto& p) { return p.parent_path().filename() == "a"; });
    CHECK(first > 8);
    CHECK(first < 32);
    CHECK(find_files(source).paths == found.paths);
    std::set<fs::path> all(found.paths.begin(), found.paths.end());
    CHECK(all.size() == 200);
}

TEST_CASE("source: a root that does not exist is named with its source") {
    CHECK_THROWS_WITH_AS(find_files({.name = "licences", .roots = {"/nowhere/at/all"}}),
                         doctest::Contains("source 'licences': no such folder or file: /nowhere"),
                         Error);
}
