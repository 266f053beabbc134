// What a snapshot costs training: the pause of the copy, and how much longer a step takes while one
// is written.     bench_snapshot RECIPE DIRECTORY [threads [--set values…]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values.empty() ? 0 : values[values.size() / 2];
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
    std::vector<double> alone, beside, pauses, writes;
    const auto step = [&] {
        const auto begin = Clock::now();
        trainer.step();
        return seconds_since(begin);
    };
    step();
    snapshots.save(context, trainer.snapshot());  // takes the copy's memory
    int64_t bytes = 0;
    for (int round = 0; round < 8; ++round) {
        snapshots.wait();
        snapshots.outcomes();
        for (int i = 0; i < 6; ++i) alone.push_back(step());
        const auto begin = Clock::now();
        snapshots.save(context, trainer.snapshot());
        pauses.push_back(seconds_since(begin));
        for (;;) {
            const double seconds = step();
            const auto outcomes = snapshots.outcomes();
            if (outcomes.empty()) {
                beside.push_back(seconds);  // written from its first moment to its last
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
    std::printf("step alone            %8.1f ms (median of %zu)\n", 1e3 * median(alone),
                alone.size());
    std::printf("step while writing    %8.1f ms (median of %zu)\n", 1e3 * median(beside),
                beside.size());
    std::printf("growth                %8.1f %%\n", 100 * (median(beside) / median(alone) - 1));
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
