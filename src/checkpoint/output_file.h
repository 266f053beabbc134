// A new file on its way to the disk: gone again unless it was published.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace hadal::checkpoint {

class OutputFile {
  public:
    /// Creates `path`, replacing a file of that name. Error(io) names the file and the system's
    /// reason, here and below.
    explicit OutputFile(std::filesystem::path path);
    /// Removes the file unless publish() returned.
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write_at(int64_t offset, std::span<const std::byte> bytes);
    /// Flushes the file to the disk and gives it its name, which may be taken: after a crash there
    /// is either the old file or this one.
    void publish(const std::filesystem::path& name);

  private:
    [[noreturn]] void fail() const;

    std::filesystem::path path_;
    int descriptor_ = -1;
    bool published_ = false;
};

}  // namespace hadal::checkpoint
