// `hadal bench train RECIPE`: how fast this machine trains, in tokens, in floating-point
// operations, and as a share of what its matrix products reach.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/recipe_argument.h"
#include "cli/report.h"
#include "ops/matmul.h"
#include "train/memory_plan.h"
#include "train/trainer.h"

namespace hadal::cli {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// GFLOP/s of the best of some large square products of our own kernel.
double measure_gemm(Context& context, DType dtype) {
    constexpr int64_t kSize = 2048;
    const Tensor x = Tensor::zeros({kSize, kSize}, dtype), w = Tensor::zeros({kSize, kSize}, dtype);
    Tensor y = Tensor::zeros({kSize, kSize}, dtype);
    double best = 0;
    const auto begin = Clock::now();
    for (int i = 0; i < 3 || seconds_since(begin) < 1; ++i) {
        const auto start = Clock::now();
        ops::matmul_nt(context, x, w, y);
        best = std::max(best, 2.0 * kSize * kSize * kSize / seconds_since(start) / 1e9);
    }
    return best;
}

/// Of all threads: what other programs on the machine take is not in it.
double processor_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

int64_t peak_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t(usage.ru_maxrss) * 1024;
}

void run_bench_train(const Arguments& arguments, Report& report) {
    const train::Recipe recipe = read_recipe_argument(arguments);
    const int64_t steps = arguments.integer("--steps", 1, 1'000'000);
    Machine machine(arguments.globals());
    std::vector<double> seconds;
    double tokens = 0;
    double processor = 0;  // seconds of the measured steps
    int64_t planned = 0;
    {
        train::Trainer trainer(machine.context(), recipe);
        trainer.step();  // grows the workspace, touches the pages
        const double before = processor_seconds();
        for (int64_t i = 0; i < steps; ++i) {
            const auto start = Clock::now();
            const train::StepResult result = trainer.step();
            tokens += double(result.sequences * recipe.data.seq_len);
            seconds.push_back(seconds_since(start) /
                              double(result.sequences * recipe.data.seq_len));
        }
        processor = processor_seconds() - before;
        planned = train::plan_memory(recipe).total();
    }
    const int64_t peak = peak_bytes();  // before the products below need memory of their own
    std::ranges::sort(seconds);
    const double flops = train::training_flops_per_token(recipe);
    const double rate = 1 / seconds[seconds.size() / 2];
    const double gemm = measure_gemm(machine.context(), recipe.dtype());
    report.add("tokens_per_second", rate);
    report.add("tokens_per_second_best", 1 / seconds.front());
    report.add("tokens_per_processor_second", tokens / processor);
    report.add("mflop_per_token", flops / 1e6);
    report.add("gflops", rate * flops / 1e9);
    report.add("gemm_gflops", gemm);
    report.add("share_of_peak", rate * flops / 1e9 / gemm);
    report.add("peak_bytes", peak);
    report.add("planned_bytes", planned);
    report.add("workspace_bytes", machine.context().workspace.peak_bytes());
    report.add("isa", name(machine.context().isa));
    report.add("threads", machine.context().threads.size());
    report.add("dtype", name(recipe.dtype()));
    report.add("steps", steps);
}

}  // namespace

extern const Command kBenchTrain = {
    .name = "bench train",
    .group = Group::evaluation,
    .summary = "Training speed of a recipe: tokens, operations, share of the peak, memory",
    .example = "hadal bench train recipes/bench_demo.toml",
    .options = {{.name = "RECIPE", .help = "a TOML file", .required = true},
                {.name = "--set",
                 .value = "a.b=c",
                 .help = "override a key of the recipe; may be repeated",
                 .repeated = true},
                {.name = "--steps",
                 .value = "N",
                 .help = "steps to measure, after one that warms up",
                 .fallback = "10"}},
    .run = run_bench_train,
};

}  // namespace hadal::cli
