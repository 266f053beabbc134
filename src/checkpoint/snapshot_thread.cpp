#include "checkpoint/snapshot_thread.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/error.h"

namespace hadal::checkpoint {

namespace {

constexpr int64_t kLine = 64;  // bytes; tensors of the copy begin on cache lines

int64_t room_of(const Tensor& tensor) {
    return (tensor.bytes() + kLine - 1) / kLine * kLine;
}

/// The training threads want every processor for themselves: this one takes what they leave, and
/// about a tenth of one where they leave nothing.
constexpr int kNiceness = 10;

/// The writer computes digests and copies bytes into the system's cache for an eighth of the time:
/// 3 % of four processors. Waiting for the disk costs nobody anything and does not count.
constexpr double kRestFactor = 7;

double thread_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

}  // namespace

SnapshotThread::SnapshotThread(std::filesystem::path snapshots, const SnapshotPolicy& policy)
    : snapshots_(std::move(snapshots)), policy_(policy), task_(kNiceness) {}

SnapshotThread::~SnapshotThread() {
    hurry(true);
}

void SnapshotThread::hurry(bool wanted) {
    {
        const std::lock_guard lock(mutex_);
        hurry_ = wanted;
    }
    hurried_.notify_all();
}

void SnapshotThread::rest(double& computed_before) {
    std::unique_lock lock(mutex_);
    const double seconds = kRestFactor * (thread_seconds() - computed_before);
    hurried_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return hurry_; });
    computed_before = thread_seconds();
}

void SnapshotThread::save(Context& context, const SnapshotContent& content) {
    wait();
    task_.start([this, copy = copied(context, content)] {
        double computed = thread_seconds();
        SnapshotOutcome outcome = written(copy, [&] { rest(computed); });
        const std::lock_guard lock(mutex_);
        outcomes_.push_back(std::move(outcome));
    });
}

SnapshotOutcome SnapshotThread::save_now(const SnapshotContent& content) {
    wait();
    return written(content, [] {});
}

void SnapshotThread::wait() {
    hurry(true);
    task_.wait();
    hurry(false);
}

std::vector<SnapshotOutcome> SnapshotThread::outcomes() {
    const std::lock_guard lock(mutex_);
    return std::exchange(outcomes_, {});
}

SnapshotContent SnapshotThread::copied(Context& context, const SnapshotContent& content) {
    int64_t bytes = 0;
    for (const auto& [name, tensor] : content.tensors) bytes += room_of(tensor);
    if (room_.count() < bytes) room_ = Tensor::uninitialized({bytes}, DType::u8);
    struct Piece {
        std::byte* to;
        const std::byte* from;
        int64_t bytes;
    };
    constexpr int64_t kPiece = 1 << 20;  // large tensors are cut, so that all threads copy
    std::vector<Piece> pieces;
    SnapshotContent copy{.step = content.step, .tensors = {}, .state = content.state};
    copy.tensors.reserve(content.tensors.size());
    std::byte* next = room_.data();
    for (const auto& [name, tensor] : content.tensors) {
        HADAL_ASSERT(tensor.contiguous());
        for (int64_t begin = 0; begin < tensor.bytes(); begin += kPiece) {
            pieces.push_back(
                {next + begin, tensor.data() + begin, std::min(kPiece, tensor.bytes() - begin)});
        }
        copy.tensors.emplace_back(name,
                                  Tensor::over(next, tensor.shape(), tensor.dtype(), nullptr));
        next += room_of(tensor);
    }
    context.threads.parallel_for(int64_t(pieces.size()), [&](int64_t i) {
        const Piece& piece = pieces[size_t(i)];
        std::memcpy(piece.to, piece.from, size_t(piece.bytes));
    });
    return copy;
}

SnapshotOutcome SnapshotThread::written(const SnapshotContent& content,
                                        const std::function<void()>& rest) const {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    SnapshotOutcome outcome{.step = content.step, .bytes = 0, .seconds = 0, .error = ""};
    try {
        outcome.bytes = write_snapshot(snapshots_, content, policy_, rest);
    } catch (const Error& error) {
        if (error.kind() == Error::Kind::internal) throw;
        outcome.error = error.what();
    } catch (const std::filesystem::filesystem_error& error) {
        outcome.error = error.what();
    }
    outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return outcome;
}

}  // namespace hadal::checkpoint
