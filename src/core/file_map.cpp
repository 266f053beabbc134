#include "core/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "core/large_pages.h"

namespace hadal {

namespace {

constexpr size_t kSpareBytes = 64;  // one AVX-512 register

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const {
        return fd_;
    }

  private:
    int fd_;
};

[[noreturn]] void fail(std::string_view doing, const std::filesystem::path& path) {
    // A path that leads nowhere is the user's mistake, everything else the system's.
    const bool is_wrong_path =
        errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
    throw Error(is_wrong_path ? Error::Kind::bad_input : Error::Kind::io,
                concat(doing, " ", path.string(), ": ", std::strerror(errno)));
}

}  // namespace

std::shared_ptr<const FileMap> FileMap::open(const std::filesystem::path& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) fail("cannot open", path);
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) fail("cannot read", path);
    if (!S_ISREG(status.st_mode)) {
        throw Error(Error::Kind::bad_input,
                    concat("cannot read ", path.string(), ": not a regular file"));
    }
    std::shared_ptr<FileMap> map(new FileMap);
    map->path_ = path;
    map->size_ = size_t(status.st_size);
    if (map->size_ > 0) {
        // The file goes over the beginning of a reservation that is longer: a vector load that
        // starts inside the file's last bytes may end in memory that exists, as it may behind a
        // tensor of our own.
        // It begins on a large page's boundary: a file system that caches files in large pages
        // (ext4 from Linux 6.16 on, XFS) then maps them whole. Weights are read faster so: by a
        // fifth from end to end, by two fifths row by row.
        map->reserved_size_ = map->size_ + kSpareBytes + kLargePage;
        map->reserved_ = ::mmap(nullptr, map->reserved_size_, PROT_READ,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map->reserved_ == MAP_FAILED) fail("cannot map", path);
        size_t space = map->reserved_size_;
        map->data_ = map->reserved_;
        std::align(kLargePage, map->size_ + kSpareBytes, map->data_, space);
        if (::mmap(map->data_, map->size_, PROT_READ, MAP_SHARED | MAP_FIXED, file.get(), 0) ==
            MAP_FAILED) {
            fail("cannot map", path);
        }
        if (map->size_ >= kLargePage) prefer_large_pages(map->data_, map->size_);
    }
    return map;
}

FileMap::~FileMap() {
    if (data_ != nullptr) ::munmap(reserved_, reserved_size_);
}

void read_ahead(std::span<const std::byte> mapped) {
    const auto page = uintptr_t(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(mapped.data()) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(mapped.data()) + mapped.size();
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

std::string read_file(const std::filesystem::path& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) fail("cannot open", path);
    std::string content;
    char block[1 << 16];
    for (;;) {
        const ssize_t n = ::read(file.get(), block, sizeof block);
        if (n == 0) return content;
        if (n < 0) {
            if (errno == EINTR) continue;
            fail("cannot read", path);
        }
        content.append(block, size_t(n));
    }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
    std::filesystem::path temporary = path;
    temporary += concat(".tmp-", ::getpid());
    const auto give_up = [&] {
        const int reason = errno;
        ::unlink(temporary.c_str());
        errno = reason;
        fail("cannot write", path);
    };
    {
        const Descriptor file(
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (file.get() < 0) fail("cannot write", path);
        while (!content.empty()) {
            const ssize_t n = ::write(file.get(), content.data(), content.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) give_up();
            content.remove_prefix(size_t(n));
        }
        if (::fsync(file.get()) != 0) give_up();
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) give_up();
    sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

void sync_directory(const std::filesystem::path& path) {
    const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.get() < 0) fail("cannot open", path);
    if (::fsync(directory.get()) != 0 && errno != EINVAL) fail("cannot flush", path);
}

}  // namespace hadal
