// What a snapshot costs training: the pause of the copy, and how much longer a step takes while one
// is written.     bench_snapshot RECIPE DIRECTORY [threads [--set values…]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/snapshot_thread.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace hadal::bench {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Of all threads, the writer's too: other programs on the machine are not in it.
double processor_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

struct Step {
    double seconds;
    double processor_seconds;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values.empty() ? 0 : values[values.size() / 2];
}

void print(const char* what, const std::vector<Step>& alone, const std::vector<Step>& beside,
           double Step::* time) {
    const auto median_of = [&](const std::vector<Step>& steps) {
        std::vector<double> times;
        for (const Step& step : steps) times.push_back(step.*time);
        return median(std::move(times));
    };
    std::printf("%-20s  %8.1f ms alone (%zu), %8.1f ms while writing (%zu), %+.1f %%\n", what,
                1e3 * median_of(alone), alone.size(), 1e3 * median_of(beside), beside.size(),
                100 * (median_of(beside) / median_of(alone) - 1));
}

/// Steps alone and steps beside a writer take turns, so that other programs on the machine disturb
/// both alike.
void measure(const std::vector<std::string>& arguments) {
    const std::vector<std::string> sets(
        arguments.begin() + std::min<ptrdiff_t>(3, arguments.end() - arguments.begin()),
        arguments.end());
    const train::Recipe recipe = train::read_recipe(arguments[0], sets);
    ThreadPool threads(arguments.size() > 2 ? std::atoi(arguments[2].c_str()) : 0);
    Workspace workspace;
    Context context{threads, workspace};
    train::Trainer trainer(context, recipe);
    const std::filesystem::path directory = std::filesystem::path(arguments[1]) / "bench_snapshot";
    checkpoint::SnapshotThread snapshots(directory, {.keep = 1});
    std::vector<Step> alone, beside;
    std::vector<double> pauses, writes;
    const auto step = [&] {
        const auto begin = Clock::now();
        const double processor = processor_seconds();
        trainer.step();
        return Step{seconds_since(begin), processor_seconds() - processor};
    };
    step();
    snapshots.save(context, trainer.snapshot());  // takes the copy's memory
    int64_t bytes = 0;
    for (int round = 0; round < 5; ++round) {
        snapshots.wait();
        snapshots.outcomes();
        for (int i = 0; i < 6; ++i) alone.push_back(step());
        const auto begin = Clock::now();
        snapshots.save(context, trainer.snapshot());
        pauses.push_back(seconds_since(begin));
        for (;;) {
            const Step taken = step();
            const auto outcomes = snapshots.outcomes();
            if (outcomes.empty()) {
                beside.push_back(taken);  // written from its first moment to its last
                continue;
            }
            writes.push_back(outcomes[0].seconds);
            bytes = outcomes[0].bytes;
            break;
        }
    }
    snapshots.wait();
    std::filesystem::remove_all(directory);
    std::printf("%lld bytes, %d threads\n", static_cast<long long>(bytes), threads.size());
    std::printf("pause of the copy     %8.1f ms\n", 1e3 * median(pauses));
    print("step, clock", alone, beside, &Step::seconds);
    print("step, processors", alone, beside, &Step::processor_seconds);
    std::printf("writing takes         %8.1f ms\n", 1e3 * median(writes));
}

}  // namespace

}  // namespace hadal::bench

int main(int count, char** words) {
    const std::vector<std::string> arguments(words + 1, words + count);
    if (arguments.size() < 2) {
        std::fprintf(stderr, "bench_snapshot RECIPE DIRECTORY [threads [--set values]]\n");
        return 2;
    }
    try {
        hadal::bench::measure(arguments);
    } catch (const hadal::Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return error.exit_status();
    }
}
