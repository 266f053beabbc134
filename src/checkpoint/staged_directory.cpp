#include "checkpoint/staged_directory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file_map.h"

namespace hadal::checkpoint {

namespace {

[[noreturn]] void fail(std::string_view doing, const std::filesystem::path& path) {
    throw Error(Error::Kind::io, concat(doing, " ", path.string(), ": ", std::strerror(errno)));
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

std::filesystem::path without_trailing_slash(const std::filesystem::path& path) {
    return path.has_filename() ? path : path.parent_path();
}

/// What processes that were killed while they wrote this very target left beside it.
void remove_leftovers(const std::filesystem::path& target) {
    const std::string prefix = target.filename().string() + ".tmp-";
    std::vector<std::filesystem::path> leftovers;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(parent_of(target), ignored)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(prefix)) continue;
        int process = 0;
        const auto [end, error] =
            std::from_chars(name.data() + prefix.size(), name.data() + name.size(), process);
        if (error != std::errc() || end != name.data() + name.size() || process <= 0) continue;
        const bool gone = ::kill(process, 0) != 0 && errno == ESRCH;
        if (gone || process == ::getpid()) leftovers.push_back(entry.path());
    }
    for (const auto& path : leftovers) std::filesystem::remove_all(path, ignored);
}

bool rename_with(unsigned flags, const std::filesystem::path& from,
                 const std::filesystem::path& to) {
    return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0;
}

/// For file systems that know no flags: one moment without either is the price.
void exchange_in_two_steps(const std::filesystem::path& path, const std::filesystem::path& target) {
    const std::filesystem::path aside = path.string() + ".old";
    if (::rename(target.c_str(), aside.c_str()) != 0) fail("cannot replace", target);
    if (::rename(path.c_str(), target.c_str()) != 0) {
        const int reason = errno;
        ::rename(aside.c_str(), target.c_str());
        errno = reason;
        fail("cannot replace", target);
    }
    ::rename(aside.c_str(), path.c_str());
}

}  // namespace

void create_directories_durably(const std::filesystem::path& path) {
    const auto directory = without_trailing_slash(path);
    if (directory.empty() || std::filesystem::is_directory(directory)) return;
    create_directories_durably(directory.parent_path());
    if (::mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST) {
        fail("cannot create directory", directory);
    }
    sync_directory(parent_of(directory));
}

StagedDirectory::StagedDirectory(const std::filesystem::path& target)
    : target_(without_trailing_slash(target)),
      path_(target_.string() + concat(".tmp-", ::getpid())) {
    create_directories_durably(parent_of(target_));
    remove_leftovers(target_);
    if (::mkdir(path_.c_str(), 0755) != 0) fail("cannot create directory", path_);
}

StagedDirectory::~StagedDirectory() {
    std::error_code ignored;
    if (!published_) std::filesystem::remove_all(path_, ignored);
}

void StagedDirectory::publish(bool replace) {
    sync_directory(path_);
    bool exchanged = false;
    if (!rename_with(RENAME_NOREPLACE, path_, target_)) {
        const bool flags_unknown = errno == EINVAL || errno == ENOSYS;
        const bool taken = errno == EEXIST || (flags_unknown && std::filesystem::exists(target_));
        if (taken && !replace) {
            throw Error(Error::Kind::bad_input, concat("already exists: ", target_.string(),
                                                       " (choose another name or use --force)"));
        }
        if (!taken && (!flags_unknown || ::rename(path_.c_str(), target_.c_str()) != 0)) {
            fail("cannot create directory", target_);
        }
        if (taken && !rename_with(RENAME_EXCHANGE, path_, target_)) {
            exchange_in_two_steps(path_, target_);
        }
        exchanged = taken;
    }
    published_ = true;
    sync_directory(parent_of(target_));
    std::error_code ignored;
    if (exchanged) std::filesystem::remove_all(path_, ignored);  // the old one, under our name now
}

}  // namespace hadal::checkpoint
