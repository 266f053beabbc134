// Power that goes at any moment, and disks that fail at any call.
#include <set>

#include "checkpoint/recorded_disk.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_writer.h"
#include "checkpoint/temporary_directory.h"
#include "core/error.h"
#include "core/file_map.h"

using namespace hadal;
using namespace hadal::checkpoint;
using test::RecordedDisk;
using test::Recording;
using test::TemporaryDirectory;

namespace {

namespace fs = std::filesystem;

SnapshotContent content_of(int64_t step) {
    SnapshotContent content{.step = step, .tensors = {}, .state = concat("{\"step\": ", step, "}")};
    for (int64_t i = 0; i < 3; ++i) {
        Tensor tensor = Tensor::zeros({40}, DType::f32);
        for (float& value : tensor.values<float>()) value = float(100 * step + i);
        content.tensors.emplace_back(concat("t", i), tensor);
    }
    return content;
}

constexpr SnapshotPolicy kPolicy{.keep = 2, .keep_every = 3, .shard_bytes = 200};

bool is_whole(const Snapshot& snapshot) {
    bool same = snapshot.state() == concat("{\"step\": ", snapshot.step(), "}");
    for (int64_t i = 0; i < 3; ++i) {
        const Tensor tensor = snapshot.load(concat("t", i));
        for (const float value : tensor.values<float>()) {
            same = same && value == float(100 * snapshot.step() + i);
        }
    }
    return same;
}

/// Every file under a directory and what it holds.
std::map<std::string, std::string> contents(const fs::path& directory) {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        found[entry.path().lexically_relative(directory).string()] =
            entry.is_directory() ? "a directory" : read_file(entry.path());
    }
    return found;
}

void check_same(const std::map<std::string, std::string>& found,
                const std::map<std::string, std::string>& expected) {
    for (const auto& [name, content] : expected) {
        CAPTURE(name);
        REQUIRE(found.contains(name));
        CHECK(found.at(name) == content);
    }
    for (const auto& [name, content] : found) {
        CAPTURE(name);
        CHECK(expected.contains(name));
    }
}

}  // namespace

TEST_CASE("snapshot: whenever the power goes, the last one finished is there and whole") {
    const TemporaryDirectory disk("/dev/shm"), after("/dev/shm");
    RecordedDisk& recorded = RecordedDisk::instance();
    std::vector<size_t> finished_at;  // events when step i + 1 was finished
    {
        const Recording recording(disk.path());
        for (int64_t step = 1; step <= 6; ++step) {
            write_snapshot(disk / "run/snapshots", content_of(step), kPolicy);
            finished_at.push_back(recorded.moments());
        }
        write_snapshot(disk / "run/snapshots", content_of(6), kPolicy);  // in place of itself
    }
    REQUIRE(recorded.moments() > 200);
    RandomSequence random(7);
    // The recorder has seen everything, or what follows means nothing.
    recorded.crash(recorded.moments(), random, after / "all", /*everything=*/true);
    check_same(contents(after / "all"), contents(disk.path()));

    int64_t lost = 0;  // crashes after which not everything written was there
    for (size_t moment = 0; moment <= recorded.moments(); ++moment) {
        int64_t finished = 0;
        for (const size_t at : finished_at) finished += at <= moment;
        for (int attempt = 0; attempt < 4; ++attempt) {
            CAPTURE(moment);
            CAPTURE(attempt);
            const auto found = after / "found";
            recorded.crash(moment, random, found);
            const auto latest = open_latest_snapshot(found / "run/snapshots");
            CHECK(latest.skipped.empty());  // a name never stands for a torn snapshot
            REQUIRE(bool(latest.snapshot) >= (finished > 0));
            if (latest.snapshot) {
                CHECK(latest.snapshot->step() >= finished);
                CHECK(is_whole(*latest.snapshot));
            }
            if (finished >= 4) CHECK(is_whole(Snapshot::open(found / "run/snapshots/step-000003")));
            lost += latest.snapshot ? latest.snapshot->step() == finished : 1;
            fs::remove_all(found);
        }
    }
    CHECK(lost > 100);
}

TEST_CASE("snapshot: without the flushes the power loss is seen") {
    // The test above can fail: a directory renamed into place with nothing flushed comes back torn.
    const TemporaryDirectory disk("/dev/shm"), after("/dev/shm");
    RecordedDisk& recorded = RecordedDisk::instance();
    {
        const Recording recording(disk.path());
        fs::create_directory(disk / "step.tmp");
        const int file = ::open((disk / "step.tmp/a").c_str(), O_WRONLY | O_CREAT, 0600);
        REQUIRE(::pwrite(file, "whole", 5, 0) == 5);
        ::close(file);
        fs::rename(disk / "step.tmp", disk / "step");
    }
    std::set<std::string> seen;
    RandomSequence random(1);
    for (int attempt = 0; attempt < 50; ++attempt) {
        recorded.crash(recorded.moments(), random, after / "found");
        const auto file = after / "found/step/a";
        seen.insert(!fs::exists(after / "found/step") ? "no directory"
                    : !fs::exists(file)               ? "no file"
                                                      : read_file(file));
        fs::remove_all(after / "found");
    }
    CHECK(seen == std::set<std::string>{"no directory", "no file", "", "whole"});
}

TEST_CASE("snapshot: a disk that fails at any call leaves the snapshots of before and no more") {
    const TemporaryDirectory disk("/dev/shm");
    const auto snapshots = disk / "snapshots";
    write_snapshot(snapshots, content_of(1), kPolicy);
    const auto before = contents(disk.path());
    const Recording recording(disk.path());
    RecordedDisk& recorded = RecordedDisk::instance();
    int failures = 0;
    for (int64_t calls = 0;; ++calls) {
        CAPTURE(calls);
        fs::remove_all(disk / "fresh");
        recorded.start(disk.path());
        recorded.fail_after(calls, calls % 2 == 0 ? EIO : ENOSPC);
        std::string message;
        try {
            // A directory that the recorder saw being made: descriptors in it count.
            write_snapshot(disk / "fresh", content_of(2), kPolicy);
        } catch (const Error& error) {
            message = error.what();
            CHECK(error.kind() == Error::Kind::io);
        }
        recorded.fail_after(std::nullopt);
        if (message.empty()) break;
        ++failures;
        CHECK(message.find(calls % 2 == 0 ? "Input/output error" : "No space left") !=
              std::string::npos);
        for (const auto& entry : fs::directory_iterator(disk / "fresh")) {
            // The last flush fails after the rename: the snapshot is there, and whole.
            CHECK(is_whole(Snapshot::open(entry.path())));
        }
        fs::remove_all(disk / "fresh");
        CHECK(contents(disk.path()) == before);
    }
    CHECK(failures > 12);
    CHECK(is_whole(Snapshot::open(disk / "fresh/step-000002")));
}

TEST_CASE("snapshot: one that will not fit is refused before a byte is written") {
    const TemporaryDirectory disk("/dev/shm");
    const Recording recording(disk.path());
    RecordedDisk& recorded = RecordedDisk::instance();
    const SnapshotContent content = content_of(1);
    const auto bytes = uint64_t(content.tensor_bytes()) + content.state.size();
    write_snapshot(disk / "snapshots", content_of(0), kPolicy);
    const auto before = contents(disk.path());
    recorded.pretend_free(4096 * (bytes / 4096));
    CHECK_THROWS_WITH_AS(write_snapshot(disk / "snapshots", content, kPolicy),
                         doctest::Contains("free space"), Error);
    CHECK(contents(disk.path()) == before);
    recorded.pretend_free(4096 * (bytes * 11 / 10 / 4096 + 1));
    write_snapshot(disk / "snapshots", content, kPolicy);
    CHECK(is_whole(Snapshot::open(disk / "snapshots/step-000001")));
}
