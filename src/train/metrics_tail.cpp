#include "train/metrics_tail.h"

#include <sys/stat.h>

#include <fstream>

namespace hadal::train {

bool MetricsTail::poll() {
    struct stat status{};
    const bool exists = ::stat(path_.c_str(), &status) == 0;
    const bool other = exists && (uint64_t(status.st_ino) != inode_ || status.st_size < position_);
    bool changed = false;
    if (other || !exists) {
        changed = !history_.empty();
        history_.clear();
        rest_.clear();
        position_ = 0;
    }
    if (!exists) return changed;
    inode_ = uint64_t(status.st_ino);
    if (status.st_size == position_) return changed;
    std::ifstream file(path_, std::ios::binary);
    file.seekg(position_);
    std::string text(size_t(status.st_size - position_), '\0');
    file.read(text.data(), std::streamsize(text.size()));
    text.resize(size_t(file.gcount()));
    position_ += int64_t(text.size());
    rest_ += text;
    size_t begin = 0;
    for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
        const auto metrics = parse_metrics_line(std::string_view(rest_).substr(begin, end - begin));
        if (metrics) history_.push_back(*metrics);
        changed = changed || metrics.has_value();
        begin = end + 1;
    }
    rest_.erase(0, begin);
    return changed;
}

}  // namespace hadal::train
