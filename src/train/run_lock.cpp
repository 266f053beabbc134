#include "train/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/file_map.h"

namespace hadal::train {

namespace {

/// "process 4711 on node3"
std::string this_process() {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    return concat("process ", ::getpid(), " on ", host);
}

/// The first line, which another program may have written: printable characters only.
std::string holder(const std::filesystem::path& path) {
    std::string line = read_file(path).substr(0, 200);
    line = line.substr(0, line.find('\n'));
    for (char& c : line) {
        if (c < ' ' || c > '~') c = '?';
    }
    return line.empty() ? "another process" : line;
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& run) {
    const auto path = run / "lock";
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) {
        throw Error(Error::Kind::io,
                    concat("cannot open ", path.string(), ": ", std::strerror(errno)));
    }
    held_ = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if (!held_ && errno == EWOULDBLOCK) {
        ::close(descriptor_);
        throw Error(Error::Kind::bad_input,
                    concat("another job writes to this run: ", run.string(), ": ", holder(path),
                           " (wait for it or stop it; --set run.out=… starts another run)"));
    }
    const std::string who = this_process() + "\n";
    // Who holds the lock is for people: a full disk must not stop a run here.
    if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, who.data(), who.size(), 0) < 0) {
        return;
    }
}

RunLock::~RunLock() {
    ::close(descriptor_);  // and the lock with it
}

}  // namespace hadal::train
