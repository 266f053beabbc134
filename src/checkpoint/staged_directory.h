// A directory that appears whole or not at all: filled under a temporary name beside its own, then
// renamed.
#pragma once

#include <filesystem>

namespace hadal::checkpoint {

/// Creates a directory and the parents that lack, each with its name on the disk: without power, a
/// directory whose parent was not flushed is gone with all that is in it.
void create_directories_durably(const std::filesystem::path& path);

class StagedDirectory {
  public:
    /// Creates `target`.tmp-PID, and target's parents where they lack; removes such a directory of
    /// a process that no longer lives. Whether `target` may exist is the caller's to check before.
    /// Error(io) names the directory and the system's reason, here and below.
    explicit StagedDirectory(const std::filesystem::path& target);
    /// Removes what was written unless publish() returned.
    ~StagedDirectory();
    StagedDirectory(const StagedDirectory&) = delete;
    StagedDirectory& operator=(const StagedDirectory&) = delete;

    /// Where to write meanwhile. Every file there must be flushed to the disk by whoever writes it.
    const std::filesystem::path& path() const {
        return path_;
    }
    const std::filesystem::path& target() const {
        return target_;
    }

    /// Gives the directory its name. One of that name that exists is exchanged in the same step and
    /// then deleted if `replace`, else Error(bad_input): it may have appeared meanwhile.
    void publish(bool replace);

  private:
    std::filesystem::path target_;
    std::filesystem::path path_;
    bool published_ = false;
};

}  // namespace hadal::checkpoint
