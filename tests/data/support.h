// What several data tests need: a folder that goes away, packed sets with known ids, errors as
// text.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/token_dataset.h"

namespace hadal::data::test {

/// An empty folder of its own, removed at the end.
class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "hadal-data-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::filesystem::path operator/(const std::string& name) const {
        return path_ / name;
    }
    const std::filesystem::path& path() const {
        return path_;
    }
    /// Writes a file, with the folders above it.
    std::filesystem::path write(const std::string& name, const std::string& content) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << content;
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

inline std::filesystem::path write_set(const std::filesystem::path& path,
                                       const std::vector<std::vector<int32_t>>& documents,
                                       int64_t vocab_size = 60000) {
    TokenDatasetWriter writer(path, vocab_size);
    for (const auto& ids : documents) writer.add_document(ids);
    writer.finish();
    return path;
}

/// Ids base, base + 1, … in one document.
inline std::filesystem::path write_count(const std::filesystem::path& path, int32_t base,
                                         int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(base + int32_t(i));
    return write_set(path, {ids});
}

/// The message of the Error that `body` throws; "" if it throws none.
inline std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace hadal::data::test
