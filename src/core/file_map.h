// A file mapped into memory, read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace hadal {

class FileMap {
  public:
    /// Error(io), or Error(bad_input) where there is no such file, names it and the system's
    /// reason. An empty file gives an empty span.
    static std::shared_ptr<const FileMap> open(const std::filesystem::path& path);
    ~FileMap();
    FileMap(const FileMap&) = delete;
    FileMap& operator=(const FileMap&) = delete;

    std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(data_), size_};
    }
    std::string_view text() const {
        return {static_cast<const char*>(data_), size_};
    }
    const std::filesystem::path& path() const {
        return path_;
    }

  private:
    FileMap() = default;
    void* data_ = nullptr;
    size_t size_ = 0;
    void* reserved_ = nullptr;  // what data_ lies in
    size_t reserved_size_ = 0;
    std::filesystem::path path_;
};

/// Asks the system to read this part of a mapped file into memory, and does not wait for it. A
/// wish: nothing happens where it cannot be, or where it is there already.
void read_ahead(std::span<const std::byte> mapped);

/// The whole file as a string. Errors as above.
std::string read_file(const std::filesystem::path& path);

/// Replaces `path` by `content` in one step: written beside it, flushed to the disk, renamed. After
/// a crash the file holds either the old content or the new. Error(io) leaves the old one and no
/// temporary file.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Flushes a directory's entries (created, renamed files) to the disk.
void sync_directory(const std::filesystem::path& path);

}  // namespace hadal
