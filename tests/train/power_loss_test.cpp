// A run whose machine loses power goes on to the same weights; a disk that fails costs snapshots
// and log lines; clocks that jump cost nothing.
#include <time.h>

#include <algorithm>
#include <atomic>

#include "checkpoint/recorded_disk.h"
#include "core/file_map.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;
using test::RecordedDisk;
using test::Recording;

namespace {

std::atomic<bool> clock_jumps{false};

}  // namespace

/// The wall clock of a machine whose time is being set, back and forth; the steady clock is the
/// kernel's. C functions have no place for an object, hence the global switch.
extern "C" int clock_gettime(clockid_t clock, struct timespec* time) {
    const int status = int(::syscall(SYS_clock_gettime, clock, time));
    static std::atomic<int64_t> calls{0};
    if (clock == CLOCK_REALTIME && clock_jumps) {
        time->tv_sec += (++calls % 2 == 0 ? -1 : 1) * 1'000'000'000;
    }
    return status;
}

namespace {

namespace fs = std::filesystem;

Recipe recipe_in(const test::TemporaryDirectory& folder, const fs::path& out,
                 std::vector<std::string> more = {}) {
    more.push_back("run.out=" + out.string());
    more.push_back("validation.every=0");
    return test::small_recipe(folder, std::move(more));
}

std::string model_of(const fs::path& out) {
    return read_file(out / "model/model.safetensors");
}

}  // namespace

TEST_CASE("pretrain: whenever the power goes, the resumed run ends with the same weights") {
    const test::TemporaryDirectory folder("/dev/shm");
    test::Machine machine;
    RecordedDisk& recorded = RecordedDisk::instance();
    fs::create_directory(folder / "disk");
    const std::vector<std::string> keys = {"snapshot.every=2", "snapshot.keep=2", "run.steps=9",
                                           "log.tensorboard=false"};
    std::map<size_t, int64_t> steps_at;  // steps done when so many events had happened
    {
        const Recording recording(folder / "disk");
        pretrain(machine.context, recipe_in(folder, folder / "disk/run", keys),
                 {.on_step = [&](const Metrics& m) { steps_at[recorded.moments()] = m.step; }});
    }
    const std::string expected = model_of(folder / "disk/run");
    RandomSequence random(3);
    int64_t resumed = 0, most_lost = 0;
    for (int crash = 0; crash < 16; ++crash) {
        const auto moment = size_t(random.below(uint64_t(recorded.moments()) + 1));
        CAPTURE(moment);
        const auto found = folder / concat("found", crash);
        recorded.crash(moment, random, found);
        std::string warnings;
        const auto summary =
            pretrain(machine.context, recipe_in(folder, found / "run", keys),
                     {.resume = true, .warn = [&](const std::string& text) { warnings += text; }});
        CHECK(summary.finished);
        CHECK(warnings.empty());
        CHECK(model_of(found / "run") == expected);
        resumed += summary.resumed_from > 0;
        const auto last = steps_at.upper_bound(moment);
        if (last != steps_at.begin()) {
            most_lost = std::max(most_lost, std::prev(last)->second - summary.resumed_from);
        }
    }
    CHECK(resumed > 4);     // some crashes come before the first snapshot
    CHECK(most_lost <= 4);  // two steps, and two while the snapshot of the first two was written
}

TEST_CASE("pretrain: a disk that fails costs snapshots, is told of, and changes no weight") {
    const test::TemporaryDirectory folder("/dev/shm");
    test::Machine machine;
    RecordedDisk& recorded = RecordedDisk::instance();
    for (const bool background : {true, false}) {
        CAPTURE(background);
        fs::remove_all(folder / "disk");
        fs::create_directory(folder / "disk");
        const Recipe recipe =
            recipe_in(folder, folder / "disk/run",
                      {"snapshot.every=1", "snapshot.max_failures=0",
                       concat("snapshot.background=", background ? "true" : "false")});
        std::vector<std::string> warnings;
        std::vector<int64_t> failed;
        const Recording recording(folder / "disk");
        const auto summary =
            pretrain(machine.context, recipe,
                     {.on_step =
                          [&](const Metrics& m) {
                              failed.push_back(m.failed_snapshots);
                              if (m.step == 4) recorded.fail_after(0, EIO);
                              if (m.step == 6) recorded.fail_after(std::nullopt);
                          },
                      .warn = [&](const std::string& text) { warnings.push_back(text); }});
        CHECK(summary.finished);
        // Of steps 4 and 5; in the background, one before them may still be on its way.
        CHECK(summary.failed_snapshots >= 1);
        CHECK(summary.failed_snapshots <= 3);
        CHECK(failed.back() == summary.failed_snapshots);
        const auto told = [&](const std::string& part) {
            return std::ranges::count_if(warnings, [&](const std::string& warning) {
                return warning.find(part) != std::string::npos;
            });
        };
        CHECK(told("training goes on: cannot write") == summary.failed_snapshots);
        CHECK(told("Input/output error") >= summary.failed_snapshots);
        RecordedDisk::instance().stop();
        const auto latest = checkpoint::open_latest_snapshot(folder / "disk/run/snapshots");
        REQUIRE(latest.snapshot.has_value());
        CHECK(latest.skipped.empty());
        CHECK(latest.snapshot->step() == 12);
        // Pictures that failed are drawn again, lines of the log are all there.
        const std::string log = read_file(folder / "disk/run/metrics.jsonl");
        CHECK(std::count(log.begin(), log.end(), '\n') == 13);
        if (!background) continue;
        const auto whole = recipe_in(folder, folder / "whole", {"snapshot.every=0"});
        pretrain(machine.context, whole, {});
        CHECK(model_of(folder / "disk/run") == model_of(folder / "whole"));
    }
}

TEST_CASE("pretrain: too many failed snapshots in a row end the run, the last good one named") {
    const test::TemporaryDirectory folder("/dev/shm");
    test::Machine machine;
    RecordedDisk& recorded = RecordedDisk::instance();
    fs::create_directory(folder / "disk");
    const Recipe recipe = recipe_in(folder, folder / "disk/run",
                                    {"snapshot.every=1", "snapshot.max_failures=2",
                                     "snapshot.background=false", "log.tensorboard=false"});
    int64_t last = 0;
    {
        const Recording recording(folder / "disk");
        CHECK_THROWS_WITH_AS(
            pretrain(machine.context, recipe,
                     {.on_step =
                          [&](const Metrics& m) {
                              last = m.step;
                              if (m.step == 4) recorded.fail_after(0, ENOSPC);
                          }}),
            doctest::Contains("2 snapshots in a row could not be written, the last "
                              "good one is of step 3: "),
            Error);
    }
    CHECK(last == 5);
    const auto resumed = pretrain(machine.context, recipe, {.resume = true});
    CHECK(resumed.resumed_from == 3);
    CHECK(resumed.finished);
}

TEST_CASE("pretrain: a last snapshot that fails is an error, the trained model is kept") {
    const test::TemporaryDirectory folder("/dev/shm");
    test::Machine machine;
    RecordedDisk& recorded = RecordedDisk::instance();
    fs::create_directory(folder / "disk");
    const Recipe recipe = recipe_in(folder, folder / "disk/run", {"log.tensorboard=false"});
    const Recording recording(folder / "disk");
    recorded.pretend_free(0);
    CHECK_THROWS_WITH_AS(pretrain(machine.context, recipe, {}),
                         doctest::Contains("the snapshot after step 12 could not be written"),
                         Error);
    CHECK(!model_of(folder / "disk/run").empty());
}

TEST_CASE("pretrain: log files that cannot be written cost their lines only") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = recipe_in(folder, folder / "run", {"snapshot.every=3"});
    std::vector<std::string> warnings;
    int64_t steps = 0;
    const auto summary =
        pretrain(machine.context, recipe,
                 {.on_step =
                      [&](const Metrics& m) {
                          ++steps;
                          if (m.step != 2) return;
                          for (const char* name : {"loss.svg", "expert_load.svg", "log.txt"}) {
                              fs::remove_all(folder / concat("run/", name));
                              fs::create_directories(folder / concat("run/", name, "/in_the_way"));
                          }
                      },
                  .warn = [&](const std::string& text) { warnings.push_back(text); }});
    CHECK(summary.finished);
    CHECK(steps == 12);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("training goes on without this: ") == 0);
    CHECK(warnings[0].find("loss.svg") != std::string::npos);
    const std::string log = read_file(folder / "run/metrics.jsonl");
    CHECK(std::count(log.begin(), log.end(), '\n') == 13);
}

TEST_CASE("pretrain: a wall clock that jumps changes neither weights nor times of steps") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    pretrain(machine.context, recipe_in(folder, folder / "calm", {"snapshot.every=4"}), {});
    clock_jumps = true;
    double longest = 0;
    const auto summary =
        pretrain(machine.context, recipe_in(folder, folder / "jumping", {"snapshot.every=4"}),
                 {.on_step = [&](const Metrics& m) {
                     CHECK(m.step_seconds > 0);
                     longest = std::max(longest, m.step_seconds);
                 }});
    clock_jumps = false;
    CHECK(summary.finished);
    CHECK(longest < 1e6);
    CHECK(model_of(folder / "jumping") == model_of(folder / "calm"));
}
