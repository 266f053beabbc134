#include "checkpoint/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/file_map.h"

namespace hadal::checkpoint {

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail();
}

OutputFile::~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!published_) ::unlink(path_.c_str());
}

void OutputFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), off_t(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail();
        bytes = bytes.subspan(size_t(n));
        offset += n;
    }
}

void OutputFile::publish(const std::filesystem::path& name) {
    if (::fsync(descriptor_) != 0) fail();
    // A network file system may report a full disk only here.
    if (::close(std::exchange(descriptor_, -1)) != 0) fail();
    if (::rename(path_.c_str(), name.c_str()) != 0) fail();
    published_ = true;
    sync_directory(name.has_parent_path() ? name.parent_path() : ".");
}

void OutputFile::fail() const {
    const int reason = errno;
    throw Error(Error::Kind::io,
                concat("cannot write ", path_.string(), ": ", std::strerror(reason),
                       reason == ENOSPC || reason == EDQUOT || reason == EFBIG
                           ? " (free some space and run again; nothing half-written is kept)"
                           : ""));
}

}  // namespace hadal::checkpoint
