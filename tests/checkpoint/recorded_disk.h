// A disk that loses power. While recording, the system calls that change files under one directory
// pass through here and are remembered; afterwards crash() builds a directory as it could be found
// if the power had gone at any moment: what was flushed is there, of everything else any part.
//
// It also fails on request, as a full or a broken disk does. The functions at the end take the
// place of the C library's in the whole test program: include this header in one .cpp of a program
// only.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/random.h"

namespace hadal::test {

class RecordedDisk {
  public:
    /// The one that the functions below talk to: C functions have no place for an object.
    static RecordedDisk& instance() {
        static RecordedDisk disk;
        return disk;
    }

    /// Everything under `root`, which is empty and on the disk for good.
    void start(const std::filesystem::path& root) {
        const std::lock_guard lock(mutex_);
        root_ = std::filesystem::canonical(root);
        nodes_ = {Node{.directory = true, .names = {}}};
        events_.clear();
        open_.clear();
        recording_ = true;
    }
    void stop() {
        const std::lock_guard lock(mutex_);
        recording_ = false;
        calls_until_failure_.reset();
        free_bytes_.reset();
    }
    /// Moments at which the power can go: before the first event, …, after the last.
    size_t moments() {
        const std::lock_guard lock(mutex_);
        return events_.size();
    }

    /// After `calls` more writes and flushes, all that follow fail with this error; never if none.
    void fail_after(std::optional<int64_t> calls, int error = EIO) {
        const std::lock_guard lock(mutex_);
        calls_until_failure_ = calls;
        error_ = error;
    }
    /// What statvfs says; the truth if none.
    void pretend_free(std::optional<uint64_t> bytes) {
        const std::lock_guard lock(mutex_);
        free_bytes_ = bytes;
    }

    /// Builds in `target` what the disk may hold if the power goes before event `moment`. `random`
    /// chooses which of the operations that were not flushed made it: any prefix of those of each
    /// directory, any subset of the writes to each file. With `everything`, all made it.
    void crash(size_t moment, RandomSequence& random, const std::filesystem::path& target,
               bool everything = false) {
        const std::lock_guard lock(mutex_);
        std::vector<std::vector<const Event*>> done(nodes_.size());
        std::vector<size_t> flushed(nodes_.size(), 0);
        for (size_t i = 0; i < moment; ++i) {
            const Event& event = events_[i];
            if (event.kind == Kind::flush) {
                flushed[event.node] = done[event.node].size();
            } else {
                done[event.node].push_back(&event);
            }
        }
        for (size_t node = 0; node < nodes_.size(); ++node) {
            auto& operations = done[node];
            if (everything) continue;
            if (nodes_[node].directory) {
                const size_t open = operations.size() - flushed[node];
                operations.resize(flushed[node] + size_t(random.below(uint64_t(open) + 1)));
            } else {
                for (size_t i = operations.size(); i-- > flushed[node];) {
                    if (random.below(2) == 0) operations.erase(operations.begin() + long(i));
                }
            }
        }
        build(done, 0, target);
    }

    // What the functions below report. Paths are as the caller gave them.

    int opened(int descriptor, int directory, const char* path, int flags, bool existed) {
        const std::lock_guard lock(mutex_);
        if (!recording_ || descriptor < 0) return descriptor;
        open_.erase(descriptor);
        const auto place = locate(directory, path);
        if (!place) return descriptor;
        size_t node = 0;
        if (place->name.empty()) {
            node = place->directory;
        } else {
            auto& names = nodes_[place->directory].names;
            const auto found = names.find(place->name);
            if (found == names.end()) {
                if (existed || (flags & O_CREAT) == 0) return descriptor;
                nodes_.push_back(Node{.directory = false, .names = {}});
                node = nodes_.size() - 1;
                link(*place, node);
            } else {
                node = found->second;
                if ((flags & O_TRUNC) != 0) events_.push_back({.kind = Kind::cut, .node = node});
            }
        }
        open_[descriptor] = node;
        return descriptor;
    }
    void closed(int descriptor) {
        const std::lock_guard lock(mutex_);
        open_.erase(descriptor);
    }
    /// The error with which this write or flush fails; 0 if it does not.
    int failure(int descriptor) {
        const std::lock_guard lock(mutex_);
        if (!recording_ || !calls_until_failure_ || !open_.contains(descriptor)) return 0;
        if (*calls_until_failure_ > 0) {
            --*calls_until_failure_;
            return 0;
        }
        return error_;
    }
    void written(int descriptor, const void* bytes, size_t count, int64_t offset) {
        const std::lock_guard lock(mutex_);
        const auto found = open_.find(descriptor);
        if (!recording_ || found == open_.end()) return;
        events_.push_back({.kind = Kind::write,
                           .node = found->second,
                           .bytes = std::string(static_cast<const char*>(bytes), count),
                           .offset = offset});
    }
    void flushed(int descriptor) {
        const std::lock_guard lock(mutex_);
        const auto found = open_.find(descriptor);
        if (!recording_ || found == open_.end()) return;
        events_.push_back({.kind = Kind::flush, .node = found->second});
    }
    void made_directory(int directory, const char* path) {
        const std::lock_guard lock(mutex_);
        const auto place = recording_ ? locate(directory, path) : std::nullopt;
        if (!place || place->name.empty()) return;
        nodes_.push_back(Node{.directory = true, .names = {}});
        link(*place, nodes_.size() - 1);
    }
    void removed(int directory, const char* path) {
        const std::lock_guard lock(mutex_);
        const auto place = recording_ ? locate(directory, path) : std::nullopt;
        if (!place || nodes_[place->directory].names.erase(place->name) == 0) return;
        events_.push_back({.kind = Kind::unlink, .node = place->directory, .name = place->name});
    }
    void renamed(const char* from, const char* to, bool exchange) {
        const std::lock_guard lock(mutex_);
        const auto source = recording_ ? locate(AT_FDCWD, from) : std::nullopt;
        const auto target = recording_ ? locate(AT_FDCWD, to) : std::nullopt;
        if (!source || !target || !nodes_[source->directory].names.contains(source->name)) return;
        REQUIRE(source->directory == target->directory);  // all that the model of a disk here knows
        auto& names = nodes_[source->directory].names;
        const size_t node = names.at(source->name);
        if (exchange) {
            names[source->name] = names.at(target->name);
        } else {
            names.erase(source->name);
        }
        names[target->name] = node;
        events_.push_back({.kind = exchange ? Kind::exchange : Kind::rename,
                           .node = source->directory,
                           .name = source->name,
                           .new_name = target->name});
    }
    void tell_free(struct statvfs* status) {
        const std::lock_guard lock(mutex_);
        if (free_bytes_) status->f_bavail = *free_bytes_ / status->f_frsize;
    }

  private:
    enum class Kind { link, unlink, rename, exchange, write, cut, flush };
    struct Event {
        Kind kind;
        size_t node;         // the directory or file that changes
        std::string name{};  // in a directory
        std::string new_name{};
        size_t target = 0;    // what is linked
        std::string bytes{};  // what is written
        int64_t offset = 0;
    };
    struct Node {
        bool directory;
        std::map<std::string, size_t> names;  // as the running program sees them
    };
    struct Place {
        size_t directory;
        std::string name;  // "" for the root
    };

    void link(const Place& place, size_t node) {
        nodes_[place.directory].names[place.name] = node;
        events_.push_back(
            {.kind = Kind::link, .node = place.directory, .name = place.name, .target = node});
    }

    /// The directory of a path under the root and the name in it.
    std::optional<Place> locate(int directory, const char* path) const {
        std::filesystem::path whole(path);
        if (whole.is_relative()) {
            char base[PATH_MAX];
            const std::string link = directory == AT_FDCWD
                                         ? "/proc/self/cwd"
                                         : "/proc/self/fd/" + std::to_string(directory);
            const ssize_t length = ::readlink(link.c_str(), base, sizeof base);
            if (length < 0) return std::nullopt;
            whole = std::filesystem::path(std::string(base, size_t(length))) / whole;
        }
        const auto inside = whole.lexically_normal().lexically_relative(root_);
        if (inside.empty() || *inside.begin() == "..") return std::nullopt;
        if (inside == ".") return Place{0, ""};
        size_t node = 0;
        for (const auto& part : inside.parent_path()) {
            const auto found = nodes_[node].names.find(part.string());
            if (found == nodes_[node].names.end()) return std::nullopt;
            node = found->second;
        }
        return Place{node, inside.filename().string()};
    }

    void build(const std::vector<std::vector<const Event*>>& done, size_t directory,
               const std::filesystem::path& target) const {
        std::filesystem::create_directories(target);
        std::map<std::string, size_t> names;
        for (const Event* event : done[directory]) {
            if (event->kind == Kind::link) names[event->name] = event->target;
            if (event->kind == Kind::unlink) names.erase(event->name);
            if (event->kind == Kind::exchange)
                std::swap(names[event->name], names[event->new_name]);
            if (event->kind == Kind::rename) {
                names[event->new_name] = names.at(event->name);
                names.erase(event->name);
            }
        }
        for (const auto& [name, node] : names) {
            if (nodes_[node].directory) {
                build(done, node, target / name);
                continue;
            }
            std::string content;
            for (const Event* event : done[node]) {
                if (event->kind == Kind::cut) content.clear();
                const size_t end = size_t(event->offset) + event->bytes.size();
                if (content.size() < end) content.resize(end);
                content.replace(size_t(event->offset), event->bytes.size(), event->bytes);
            }
            std::ofstream(target / name, std::ios::binary) << content;
        }
    }

    std::recursive_mutex mutex_;  // crash() itself creates files
    bool recording_ = false;
    std::filesystem::path root_;
    std::vector<Node> nodes_;
    std::vector<Event> events_;
    std::map<int, size_t> open_;  // descriptor → node
    std::optional<int64_t> calls_until_failure_;
    int error_ = EIO;
    std::optional<uint64_t> free_bytes_;
};

/// Records while it lives.
struct Recording {
    explicit Recording(const std::filesystem::path& root) {
        RecordedDisk::instance().start(root);
    }
    ~Recording() {
        RecordedDisk::instance().stop();
    }
};

}  // namespace hadal::test

// The C library's functions, as the program under test calls them. Written to files by ofstream
// does not pass here: such files are lost in every crash.

namespace recorded_disk {

inline hadal::test::RecordedDisk& disk() {
    return hadal::test::RecordedDisk::instance();
}

inline int open_at(int directory, const char* path, int flags, mode_t mode) {
    struct stat status{};
    const bool existed = ::fstatat(directory, path, &status, 0) == 0;
    const int descriptor = int(::syscall(SYS_openat, directory, path, flags, mode));
    return disk().opened(descriptor, directory, path, flags, existed);
}

inline mode_t mode_of(int flags, va_list more) {
    return (flags & O_CREAT) != 0 ? mode_t(va_arg(more, int)) : 0;
}

}  // namespace recorded_disk

extern "C" {

int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = recorded_disk::mode_of(flags, more);
    va_end(more);
    return recorded_disk::open_at(AT_FDCWD, path, flags, mode);
}

int close(int descriptor) {
    recorded_disk::disk().closed(descriptor);
    return int(::syscall(SYS_close, descriptor));
}

ssize_t pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
    if (const int error = recorded_disk::disk().failure(descriptor); error != 0) {
        errno = error;
        return -1;
    }
    const ssize_t n = ::syscall(SYS_pwrite64, descriptor, bytes, count, offset);
    if (n > 0) recorded_disk::disk().written(descriptor, bytes, size_t(n), offset);
    return n;
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
    if (const int error = recorded_disk::disk().failure(descriptor); error != 0) {
        errno = error;
        return -1;
    }
    const off_t offset = ::lseek(descriptor, 0, SEEK_CUR);
    const ssize_t n = ::syscall(SYS_write, descriptor, bytes, count);
    if (n > 0 && offset >= 0) {
        recorded_disk::disk().written(descriptor, bytes, size_t(n), offset);
    }
    return n;
}

int fsync(int descriptor) {
    if (const int error = recorded_disk::disk().failure(descriptor); error != 0) {
        errno = error;
        return -1;
    }
    recorded_disk::disk().flushed(descriptor);  // no need to trouble the real disk
    return 0;
}

int mkdir(const char* path, mode_t mode) {
    const int status = int(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
    if (status == 0) recorded_disk::disk().made_directory(AT_FDCWD, path);
    return status;
}

int rename(const char* from, const char* to) {
    const int status = int(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
    if (status == 0) recorded_disk::disk().renamed(from, to, false);
    return status;
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) {
    const int status = int(::syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
    constexpr unsigned kExchange = 2;
    if (status == 0) recorded_disk::disk().renamed(from, to, (flags & kExchange) != 0);
    return status;
}

int unlinkat(int directory, const char* path, int flags) {
    const int status = int(::syscall(SYS_unlinkat, directory, path, flags));
    if (status == 0) recorded_disk::disk().removed(directory, path);
    return status;
}

int unlink(const char* path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char* path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char* path) {
    const int status = unlink(path);
    return status != 0 && errno == EISDIR ? rmdir(path) : status;
}

int statvfs(const char* path, struct statvfs* status) {
    struct statfs plain{};
    if (::syscall(SYS_statfs, path, &plain) != 0) return -1;
    *status = {};
    status->f_frsize = status->f_bsize = size_t(plain.f_bsize);
    status->f_blocks = plain.f_blocks;
    status->f_bavail = plain.f_bavail;
    recorded_disk::disk().tell_free(status);
    return 0;
}

}  // extern "C"
