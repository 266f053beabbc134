// A directory for one test, gone when the test ends.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/error.h"

namespace hadal::test {

class TemporaryDirectory {
  public:
    TemporaryDirectory() : TemporaryDirectory(std::filesystem::temp_directory_path()) {}
    /// Inside `preferred` if one may write there, else in the temporary folder.
    explicit TemporaryDirectory(const std::filesystem::path& preferred) {
        for (const auto& parent : {preferred, std::filesystem::temp_directory_path()}) {
            std::string pattern = (parent / "hadal-test-XXXXXX").string();
            if (::mkdtemp(pattern.data()) == nullptr) continue;
            path_ = pattern;
            return;
        }
        throw Error(Error::Kind::io, "no directory for a test's files");
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::filesystem::path operator/(const std::string& name) const {
        return path_ / name;
    }
    const std::filesystem::path& path() const {
        return path_;
    }
    /// Everything inside, for checks that nothing was left behind.
    int64_t num_entries() const {
        return std::distance(std::filesystem::directory_iterator(path_), {});
    }

  private:
    std::filesystem::path path_;
};

}  // namespace hadal::test
