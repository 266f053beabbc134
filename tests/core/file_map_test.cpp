#include "core/file_map.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "core/large_pages.h"

using hadal::Error;
using hadal::FileMap;

namespace {

struct Scratch {
    Scratch() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "hadal-test-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Scratch() {
        std::filesystem::remove_all(path);
    }
    std::filesystem::path path;
};

}  // namespace

TEST_CASE("file_map: a file of any length maps, and a vector load over its end is no fault") {
    const Scratch scratch;
    for (const size_t size : {0, 1, 4095, 4096, 4097, 8192}) {
        CAPTURE(size);
        hadal::write_file_atomically(scratch.path / "a", std::string(size, 'x'));
        const auto map = FileMap::open(scratch.path / "a");
        REQUIRE(map->bytes().size() == size);
        CHECK(map->text() == std::string(size, 'x'));
        if (size == 0) continue;
        const volatile std::byte* last = map->bytes().data() + size - 1;
        int sum = 0;
        for (int i = 1; i < 64; ++i) sum += int(last[i]);
        CHECK(sum == 0);
    }
}

TEST_CASE("file_map: a file begins where a large page may begin, two of them too") {
    const Scratch scratch;
    hadal::write_file_atomically(scratch.path / "a", std::string(hadal::kLargePage + 5000, 'x'));
    const auto first = FileMap::open(scratch.path / "a"),
               second = FileMap::open(scratch.path / "a");
    for (const auto& map : {first, second}) {
        CHECK(reinterpret_cast<uintptr_t>(map->bytes().data()) % hadal::kLargePage == 0);
        CHECK(map->text().back() == 'x');
    }
    CHECK(first->bytes().data() != second->bytes().data());
}

TEST_CASE("file_map: what cannot be opened is named with the system's reason") {
    const Scratch scratch;
    CHECK_THROWS_WITH_AS(FileMap::open(scratch.path / "b"), doctest::Contains("No such file"),
                         Error);
    CHECK_THROWS_WITH_AS(FileMap::open(scratch.path), doctest::Contains("not a regular file"),
                         Error);
    CHECK_THROWS_WITH_AS(hadal::read_file(scratch.path / "b"), doctest::Contains("No such file"),
                         Error);
}

TEST_CASE("write_file_atomically: replaces the file, and leaves no other") {
    const Scratch scratch;
    hadal::write_file_atomically(scratch.path / "a", "old");
    hadal::write_file_atomically(scratch.path / "a", "new");
    CHECK(hadal::read_file(scratch.path / "a") == "new");
    CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);
    CHECK_THROWS_AS(hadal::write_file_atomically(scratch.path / "none/a", "x"), Error);
}
