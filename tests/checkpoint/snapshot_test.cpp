#include "checkpoint/snapshot.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>

#include "checkpoint/snapshot_writer.h"
#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"
#include "core/random.h"

using hadal::DType;
using hadal::Error;
using hadal::RandomSequence;
using hadal::Tensor;
using hadal::checkpoint::open_latest_snapshot;
using hadal::checkpoint::Snapshot;
using hadal::checkpoint::SnapshotContent;
using hadal::checkpoint::SnapshotPolicy;
using hadal::test::TemporaryDirectory;

namespace {

/// Contents that say which step they are of.
Tensor weights_of(int64_t step) {
    Tensor tensor = Tensor::uninitialized({16, 64}, DType::f32);
    for (int64_t i = 0; i < tensor.count(); ++i) {
        tensor.values<float>()[size_t(i)] = float(step * 10'000 + i);
    }
    return tensor;
}

std::string state_of(int64_t step) {
    return hadal::concat("{\"step\": ", step, "}");
}

SnapshotContent content_of(int64_t step) {
    return {.step = step,
            .tensors = {{"model.weight", weights_of(step)},
                        {"first_moment", Tensor::zeros({3}, DType::f32)}},
            .state = state_of(step)};
}

void write_snapshot(const std::filesystem::path& snapshots, int64_t step, int keep = 3) {
    hadal::checkpoint::write_snapshot(snapshots, content_of(step), {.keep = keep});
}

bool is_whole(const Snapshot& snapshot) {
    const Tensor read = snapshot.load("model.weight");
    const Tensor expected = weights_of(snapshot.step());
    bool same = read.shape() == expected.shape() && snapshot.state() == state_of(snapshot.step());
    for (int64_t i = 0; same && i < read.count(); ++i) {
        same = read.values<float>()[size_t(i)] == expected.values<float>()[size_t(i)];
    }
    return same;
}

std::set<std::string> names_in(const std::filesystem::path& directory) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

}  // namespace

TEST_CASE("snapshot: the newest is found with all it was given") {
    const TemporaryDirectory run;
    CHECK_FALSE(open_latest_snapshot(run / "snapshots").snapshot);
    for (const int64_t step : {5, 40, 300}) write_snapshot(run / "snapshots", step);
    const auto latest = open_latest_snapshot(run / "snapshots");
    REQUIRE(latest.snapshot);
    CHECK(latest.skipped.empty());
    CHECK(latest.snapshot->step() == 300);
    CHECK(is_whole(*latest.snapshot));
    CHECK(latest.snapshot->load("first_moment").count() == 3);
    CHECK(latest.snapshot->directory() == run / "snapshots/step-000300");
}

TEST_CASE("snapshot: steps are ordered as numbers, beyond six digits too") {
    const TemporaryDirectory run;
    write_snapshot(run / "snapshots", 999'999);
    write_snapshot(run / "snapshots", 1'000'000);
    CHECK(open_latest_snapshot(run / "snapshots").snapshot->step() == 1'000'000);
}

TEST_CASE("snapshot: only the newest few are kept, and never a newer one deleted") {
    const TemporaryDirectory run;
    for (const int64_t step : {1, 2, 3, 4}) write_snapshot(run / "snapshots", step, /*keep=*/2);
    CHECK(names_in(run / "snapshots") == std::set<std::string>{"step-000003", "step-000004"});
    // A run resumed from an older snapshot.
    write_snapshot(run / "snapshots", 2, /*keep=*/1);
    CHECK(names_in(run / "snapshots") ==
          std::set<std::string>{"step-000002", "step-000003", "step-000004"});
}

TEST_CASE("snapshot: those of every n-th step stay for ever") {
    const TemporaryDirectory run;
    for (int64_t step = 1; step <= 11; ++step) {
        hadal::checkpoint::write_snapshot(run / "snapshots", content_of(step),
                                          {.keep = 2, .keep_every = 4});
    }
    CHECK(names_in(run / "snapshots") ==
          std::set<std::string>{"step-000004", "step-000008", "step-000010", "step-000011"});
}

TEST_CASE("snapshot: tensors go to shards of a size, and each is found again") {
    const TemporaryDirectory run;
    SnapshotContent content{.step = 3, .tensors = {}, .state = "{}"};
    for (int64_t i = 0; i < 7; ++i) {
        Tensor tensor = Tensor::zeros({i == 2 ? 100 : 10}, DType::f32);
        for (float& value : tensor.values<float>()) value = float(i);
        content.tensors.emplace_back(hadal::concat("t", i), tensor);
    }
    // 40 bytes each, two to a shard; t2 is larger than a shard and alone in one.
    const int64_t bytes =
        hadal::checkpoint::write_snapshot(run / "snapshots", content, {.shard_bytes = 80});
    const Snapshot snapshot = Snapshot::open(run / "snapshots/step-000003");
    CHECK(snapshot.num_shards() == 4);
    CHECK(snapshot.bytes() == bytes);
    CHECK(snapshot.num_tensors() == 7);
    for (const auto& [name, tensor] : content.tensors) {
        CAPTURE(name);
        const Tensor stored = snapshot.load(name);
        REQUIRE(stored.shape() == tensor.shape());
        for (const float value : stored.values<float>()) CHECK(value == tensor.values<float>()[0]);
    }
    CHECK_THROWS_WITH_AS(snapshot.load("t7"), doctest::Contains("'t7'"), Error);
    std::filesystem::remove(run / "snapshots/step-000003/tensors-00003-of-00004.safetensors");
    CHECK_THROWS_WITH_AS(Snapshot::open(run / "snapshots/step-000003"),
                         doctest::Contains("tensors-00003-of-00004.safetensors"), Error);
}

TEST_CASE("snapshot: every single bit of it is watched") {
    const TemporaryDirectory run;
    const auto content = SnapshotContent{
        .step = 1,
        .tensors = {{"a", Tensor::zeros({3}, DType::f32)}, {"b", Tensor::zeros({2}, DType::bf16)}},
        .state = "{\"step\": 1}"};
    hadal::checkpoint::write_snapshot(run / "snapshots", content, {.shard_bytes = 8});
    const auto directory = run / "snapshots/step-000001";
    for (const std::string& name : names_in(directory)) {
        if (name == "manifest.json") continue;  // has no digest, but contradicts what it describes
        const std::string whole = hadal::read_file(directory / name);
        for (size_t i = 0; i < whole.size(); ++i) {
            CAPTURE(name);
            CAPTURE(i);
            std::string changed = whole;
            changed[i] = char(changed[i] ^ (1 << (i % 8)));
            std::ofstream(directory / name, std::ios::binary) << changed;
            CHECK_THROWS_AS(Snapshot::open(directory), Error);
        }
        std::ofstream(directory / name, std::ios::binary) << whole;
    }
    CHECK(Snapshot::open(directory).step() == 1);
}

TEST_CASE("snapshot: one of the same step is replaced") {
    const TemporaryDirectory run;
    write_snapshot(run / "snapshots", 7);
    hadal::checkpoint::write_snapshot(
        run / "snapshots",
        {.step = 7, .tensors = {{"other", Tensor::zeros({1}, DType::u8)}}, .state = "{}"}, {});
    const auto latest = open_latest_snapshot(run / "snapshots");
    CHECK(latest.snapshot->num_tensors() == 1);
    CHECK(latest.snapshot->state() == "{}");
    CHECK(names_in(run / "snapshots").size() == 1);
}

TEST_CASE("snapshot: what killed processes left is removed, foreign files are not") {
    const TemporaryDirectory run;
    std::filesystem::create_directories(run / "snapshots/step-000009.tmp-123");
    hadal::write_file_atomically(
        run / "snapshots/step-000009.tmp-123/tensors-00001-of-00001.safetensors", "half");
    hadal::write_file_atomically(run / "snapshots/notes.txt", "mine");
    CHECK_FALSE(open_latest_snapshot(run / "snapshots").snapshot);
    write_snapshot(run / "snapshots", 10);
    CHECK(names_in(run / "snapshots") == std::set<std::string>{"notes.txt", "step-000010"});
}

TEST_CASE("snapshot: a damaged one is passed over with the reason") {
    const auto after = [](const std::string& file, const auto& damage) -> std::string {
        const TemporaryDirectory run;
        write_snapshot(run / "snapshots", 1);
        write_snapshot(run / "snapshots", 2);
        damage(run / ("snapshots/step-000002/" + file));
        const auto latest = open_latest_snapshot(run / "snapshots");
        REQUIRE(latest.snapshot);
        CHECK(latest.snapshot->step() == 1);
        CHECK(is_whole(*latest.snapshot));
        REQUIRE(latest.skipped.size() == 1);
        CHECK(latest.skipped[0].find("step-000002") != std::string::npos);
        return latest.skipped[0];
    };
    const auto contains = [](const std::string& text, const std::string& part) {
        CAPTURE(text);
        CHECK(text.find(part) != std::string::npos);
    };
    using Path = std::filesystem::path;
    const auto remove = [](const Path& path) { std::filesystem::remove(path); };
    const auto shorten = [](const Path& path) {
        std::filesystem::resize_file(path, std::filesystem::file_size(path) - 2);
    };
    const auto flip = [](const Path& path) {
        std::string content = hadal::read_file(path);
        content[content.size() / 2] ^= 1;
        hadal::write_file_atomically(path, content);
    };
    const auto flip_header = [](const Path& path) {
        std::string content = hadal::read_file(path);
        content[20] ^= 1;
        hadal::write_file_atomically(path, content);
    };
    const auto write = [](const std::string& content) {
        return [content](const Path& path) { hadal::write_file_atomically(path, content); };
    };
    const auto rename = [](const std::string& from, const std::string& to) {
        return [from, to](const Path& path) {
            std::string content = hadal::read_file(path);
            content.replace(content.find(from), from.size(), to);
            hadal::write_file_atomically(path, content);
        };
    };
    const std::string shard = "tensors-00001-of-00001.safetensors";
    contains(after(shard, remove), shard);
    contains(after(shard, remove), "missing");
    contains(after(shard, shorten), "bytes, its manifest says");
    contains(after(shard, flip), "tensor 'model.weight' of a snapshot is damaged");
    contains(after(shard, flip), shard);
    contains(after(shard, flip_header), "header of a snapshot's shard is damaged");
    contains(after("state.json", flip), "damaged");
    contains(after("manifest.json", remove), "no manifest");
    contains(after("manifest.json", shorten), "manifest.json");
    contains(after("manifest.json", write("")), "not valid JSON");
    contains(after("manifest.json", write("[]")), "lacks an entry");
    contains(after("manifest.json", write(R"({"format": 2, "step": 2})")), "lacks an entry");
    contains(after("manifest.json", write(R"({"step": 2, "files": {}})")), "snapshot has format 1");
    contains(after("manifest.json", write(R"({"format": 2, "step": 2, "state_xxh64": "12"})")),
             "16 hexadecimal digits");
    contains(after("manifest.json", rename("model.weight", "model.other")), "lacks tensor");
    contains(after("manifest.json", rename("step\": 2", "step\": 3")), "which is not its name's");
    contains(after("manifest.json", rename(shard, "../x")), "outside of it");
}

TEST_CASE("snapshot: a copy under another step's name is refused") {
    const TemporaryDirectory run;
    write_snapshot(run / "snapshots", 1);
    std::filesystem::rename(run / "snapshots/step-000001", run / "snapshots/step-000002");
    const auto latest = open_latest_snapshot(run / "snapshots");
    CHECK_FALSE(latest.snapshot);
    CHECK(latest.skipped.size() == 1);
}

TEST_CASE("snapshot: a full disk leaves the snapshot of before and nothing half-written") {
    const TemporaryDirectory run;
    write_snapshot(run / "snapshots", 1);
    const auto before = names_in(run / "snapshots");

    // A file that may not grow fails as one on a full disk does, at any byte of any of the files.
    rlimit unlimited{};
    ::getrlimit(RLIMIT_FSIZE, &unlimited);
    const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
    for (const rlim_t bytes : {0, 10, 300, 2000, 4200}) {
        CAPTURE(bytes);
        const rlimit limited{bytes, unlimited.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limited);
        std::string message;
        try {
            write_snapshot(run / "snapshots", 2);
        } catch (const Error& error) {
            message = error.what();
            CHECK(error.kind() == Error::Kind::io);
        }
        ::setrlimit(RLIMIT_FSIZE, &unlimited);
        CHECK(message.find("File too large") != std::string::npos);
        CHECK(names_in(run / "snapshots") == before);
    }
    ::signal(SIGXFSZ, old_handler);
    CHECK(is_whole(*open_latest_snapshot(run / "snapshots").snapshot));
    write_snapshot(run / "snapshots", 2);
    CHECK(open_latest_snapshot(run / "snapshots").snapshot->step() == 2);
}

namespace {

/// Resumes as a training run would and writes one snapshot after the other until it is killed;
/// reports each finished step into the pipe.
[[noreturn]] void write_until_killed(const std::filesystem::path& snapshots, int report) {
    try {
        const auto latest = open_latest_snapshot(snapshots);
        for (int64_t step = latest.snapshot ? latest.snapshot->step() + 1 : 1;; ++step) {
            write_snapshot(snapshots, step, /*keep=*/2);
            if (::write(report, &step, sizeof step) != sizeof step) ::_exit(3);
        }
    } catch (...) {
        ::_exit(4);
    }
}

/// The last step that the child reported before `delay_us` had passed and it was killed; 0 if none.
int64_t killed_after(const std::filesystem::path& snapshots, unsigned delay_us) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_until_killed(snapshots, ends[1]);
    ::close(ends[1]);
    ::usleep(delay_us);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    int64_t last = 0;
    int64_t step = 0;
    while (::read(ends[0], &step, sizeof step) == ssize_t(sizeof step)) last = step;
    ::close(ends[0]);
    return last;
}

}  // namespace

TEST_CASE("snapshot: a run killed at any moment resumes from the last one it finished") {
    // In memory where there is such a place: a slow disk would spread the kills over its waiting
    // time.
    const TemporaryDirectory run("/dev/shm");
    RandomSequence random(20250101);
    int64_t finished = 0;
    int kills_inside_a_write = 0;
    uint64_t longest_us =
        4000;  // follows the machine: a kill should come after some snapshot or other
    for (int kill = 0; kill < 100; ++kill) {
        CAPTURE(kill);
        const int64_t reported =
            killed_after(run / "snapshots", unsigned(random.below(longest_us)));
        longest_us = reported <= finished ? longest_us * 5 / 4 : longest_us * 7 / 8;
        finished = std::max(finished, reported);
        if (!std::filesystem::exists(run / "snapshots")) continue;
        for (const std::string& name : names_in(run / "snapshots")) {
            kills_inside_a_write += name.find(".tmp-") != std::string::npos;
        }
        const auto latest = open_latest_snapshot(run / "snapshots");
        CHECK(latest.skipped.empty());
        REQUIRE(bool(latest.snapshot) >= (finished > 0));
        if (!latest.snapshot) continue;
        CHECK(latest.snapshot->step() >= finished);
        CHECK(latest.snapshot->step() <= finished + 1);
        CHECK(is_whole(*latest.snapshot));
        finished = latest.snapshot->step();
    }
    CHECK(finished > 0);
    CHECK(kills_inside_a_write > 0);  // or the test has tested nothing
    write_snapshot(run / "snapshots", finished + 1, /*keep=*/2);
    CHECK(names_in(run / "snapshots").size() == 2);
}
