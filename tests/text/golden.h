// Golden data of tests/text: made by tools/make_tokenizer_goldens.py with another implementation.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_map.h"
#include "core/json.h"

namespace hadal::test {

inline std::filesystem::path text_data(const std::string& name) {
    return std::filesystem::path(HADAL_TEST_DATA) / "text" / name;
}

inline nlohmann::json golden_json(const std::string& name) {
    return parse_json(read_file(text_data("golden/" + name)), name);
}

/// An empty folder that is removed in the end.
class Folder {
  public:
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "hadal_text_XXXXXX";
        path_ = mkdtemp(name.data());
    }
    ~Folder() {
        std::filesystem::remove_all(path_);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::filesystem::path& path() const {
        return path_;
    }

  private:
    std::filesystem::path path_;
};

/// Byte offsets where the pieces end.
inline std::vector<size_t> piece_ends(const std::vector<std::string_view>& pieces) {
    std::vector<size_t> ends;
    size_t at = 0;
    for (const std::string_view piece : pieces) ends.push_back(at += piece.size());
    return ends;
}

}  // namespace hadal::test
