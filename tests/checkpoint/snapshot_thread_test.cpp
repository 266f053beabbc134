#include "checkpoint/snapshot_thread.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>

#include "checkpoint/snapshot.h"
#include "checkpoint/temporary_directory.h"

using namespace hadal;
using namespace hadal::checkpoint;
using test::TemporaryDirectory;

namespace {

struct Machine {
    ThreadPool pool{3};
    Workspace workspace;
    Context context{pool, workspace};
};

/// Two tensors that the test changes as training would.
struct State {
    Tensor large = Tensor::zeros({700, 1000}, DType::f32);
    Tensor small = Tensor::zeros({5}, DType::bf16);

    SnapshotContent at(int64_t step) {
        for (float& value : large.values<float>()) value = float(step);
        for (bf16& value : small.values<bf16>()) value = bf16{uint16_t(step)};
        return {.step = step, .tensors = {{"large", large}, {"small", small}}, .state = "{}"};
    }
};

bool holds(const Snapshot& snapshot, int64_t step) {
    const Tensor large = snapshot.load("large"), small = snapshot.load("small");
    bool same = large.count() == 700'000 && small.count() == 5;
    for (const float value : large.values<float>()) same = same && value == float(step);
    for (const bf16 value : small.values<bf16>()) same = same && value.bits == uint16_t(step);
    return same;
}

/// A file that may not grow fails as one on a full disk does.
class SmallFiles {
  public:
    explicit SmallFiles(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limited{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limited);
    }
    ~SmallFiles() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, handler_);
    }
    SmallFiles(const SmallFiles&) = delete;
    SmallFiles& operator=(const SmallFiles&) = delete;

  private:
    rlimit before_{};
    void (*handler_)(int);
};

}  // namespace

TEST_CASE("snapshot thread: what is saved is the state of that moment, whatever comes after") {
    const TemporaryDirectory run;
    Machine machine;
    State state;
    SnapshotThread thread(run.path(), {.keep = 100});
    for (int64_t step = 1; step <= 12; ++step) thread.save(machine.context, state.at(step));
    state.at(99);
    thread.wait();
    const auto outcomes = thread.outcomes();
    REQUIRE(outcomes.size() == 12);
    for (int64_t step = 1; step <= 12; ++step) {
        CAPTURE(step);
        const SnapshotOutcome& outcome = outcomes[size_t(step) - 1];
        CHECK(outcome.step == step);
        CHECK(outcome.error.empty());
        const Snapshot snapshot = Snapshot::open(run / snapshot_name(step));
        CHECK(outcome.bytes == snapshot.bytes());
        CHECK(holds(snapshot, step));
    }
    CHECK(thread.outcomes().empty());
}

TEST_CASE("snapshot thread: an ending thread finishes what it has begun") {
    const TemporaryDirectory run;
    Machine machine;
    State state;
    {
        SnapshotThread thread(run.path(), {});
        thread.save(machine.context, state.at(7));
    }
    CHECK(holds(Snapshot::open(run / "step-000007"), 7));
}

TEST_CASE("snapshot thread: a failure is told, leaves nothing behind, and the next one succeeds") {
    const TemporaryDirectory run;
    Machine machine;
    State state;
    SnapshotThread thread(run.path(), {});
    thread.save(machine.context, state.at(1));
    thread.wait();
    {
        const SmallFiles limit(100'000);
        thread.save(machine.context, state.at(2));
        thread.wait();
        CHECK(thread.save_now(state.at(3)).error.find("File too large") != std::string::npos);
    }
    const auto outcomes = thread.outcomes();
    REQUIRE(outcomes.size() == 2);
    CHECK(outcomes[1].step == 2);
    CHECK(outcomes[1].error.find("step-000002") != std::string::npos);
    CHECK(outcomes[1].error.find("File too large") != std::string::npos);
    CHECK(run.num_entries() == 1);
    CHECK(open_latest_snapshot(run.path()).snapshot->step() == 1);
    thread.save(machine.context, state.at(4));
    thread.wait();
    CHECK(holds(*open_latest_snapshot(run.path()).snapshot, 4));
}

TEST_CASE("snapshot thread: our own mistake is no failure of the disk") {
    const TemporaryDirectory run;
    Machine machine;
    const Tensor twice = Tensor::zeros({1}, DType::f32);
    SnapshotThread thread(run.path(), {});
    thread.save(machine.context, {.step = 1, .tensors = {{"a", twice}, {"a", twice}}, .state = ""});
    CHECK_THROWS_WITH_AS(thread.wait(), doctest::Contains("declared twice"), Error);
    thread.wait();
    CHECK(thread.outcomes().empty());
    CHECK(run.num_entries() == 0);
}

TEST_CASE("snapshot thread: a copy whose size changes is taken whole") {
    const TemporaryDirectory run;
    Machine machine;
    SnapshotThread thread(run.path(), {});
    for (const int64_t count : {10, 100'000, 1, 0}) {
        CAPTURE(count);
        Tensor tensor = Tensor::zeros({count}, DType::f32);
        for (float& value : tensor.values<float>()) value = 3;
        thread.save(machine.context, {.step = count, .tensors = {{"t", tensor}}, .state = ""});
        thread.wait();
        const Tensor stored = Snapshot::open(run / snapshot_name(count)).load("t");
        REQUIRE(stored.count() == count);
        for (const float value : stored.values<float>()) REQUIRE(value == 3);
    }
}
