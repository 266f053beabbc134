// `hadal doctor`: what this machine offers, and what hadal would gain from more.
#include <chrono>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "core/tensor.h"

namespace hadal::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// The value of the first `key : value` line of /proc/cpuinfo or /proc/meminfo; "" if there is
/// none.
std::string first_value(const char* file, std::string_view key) {
    std::ifstream stream(file);
    std::string line;
    while (std::getline(stream, line)) {
        const size_t colon = line.find(':');
        if (colon == std::string::npos || !line.starts_with(key)) continue;
        const size_t begin = line.find_first_not_of(" \t", colon + 1);
        return begin == std::string::npos ? "" : line.substr(begin);
    }
    return "";
}

/// Distinct (package, core) pairs: hyperthreads share one. 0 if the system does not tell.
int64_t physical_cores() {
    std::ifstream stream("/proc/cpuinfo");
    std::set<std::pair<std::string, std::string>> cores;
    std::string line, package;
    while (std::getline(stream, line)) {
        const std::string value = line.substr(std::min(line.size(), line.find(':') + 1));
        if (line.starts_with("physical id")) package = value;
        if (line.starts_with("core id")) cores.emplace(package, value);
    }
    return int64_t(cores.size());
}

/// Sum of all 64-bit words, for the memory traffic and not for the sum.
uint64_t read_words(const std::byte* data, int64_t begin, int64_t end) {
    uint64_t sum = 0;
    for (int64_t offset = begin; offset < end; offset += 8) {
        uint64_t word;
        std::memcpy(&word, data + offset, sizeof word);
        sum += word;
    }
    return sum;
}

/// GB/s of all threads reading a buffer far larger than the caches, over and over for about a
/// second.
double read_bandwidth(Context& context) {
    constexpr int64_t kBytes = 512 << 20, kPiece = 1 << 20;
    Tensor buffer = Tensor::uninitialized({kBytes}, DType::u8);
    const int64_t pieces = kBytes / kPiece;
    // The first touch places each page near the thread that writes it.
    context.threads.parallel_for(pieces, 8, [&](int64_t i) {
        std::memset(buffer.data() + i * kPiece, int(i), size_t(kPiece));
    });
    std::vector<uint64_t> sums(size_t(context.threads.size()), 0);
    const Clock::time_point begin = Clock::now();
    double seconds = 0;
    int64_t passes = 0;
    while (seconds < 1) {
        context.threads.parallel_ranges(pieces, 8, [&](int64_t first, int64_t last, int thread) {
            sums[size_t(thread)] += read_words(buffer.data(), first * kPiece, last * kPiece);
        });
        ++passes;
        seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    const volatile uint64_t keep = total;  // the sums must not be optimised away
    (void)keep;
    return double(passes) * double(kBytes) / seconds / 1e9;
}

void run_doctor(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    Context& context = machine.context();
    std::string cpu = first_value("/proc/cpuinfo", "model name");
    if (cpu.empty()) cpu = "unknown";
    std::string isas;
    for (const Isa isa : available_isas())
        isas += (isas.empty() ? "" : " ") + std::string(name(isa));
    report.add("cpu", cpu);
    report.add("isa", name(context.isa));
    report.add("isas_available", isas);
    report.add("threads", context.threads.size());
    if (const int64_t cores = physical_cores(); cores > 0) report.add("cores", cores);
    const std::string memory = first_value("/proc/meminfo", "MemTotal");
    if (!memory.empty()) report.add("memory_bytes", int64_t(std::stoll(memory)) * 1024);
    report.add("read_gbps", read_bandwidth(context));
    report.add("gpu", "none");
    report.add("mpi", "none");

    std::string missing;
    if (context.isa < best_isa()) {
        missing += concat("forced to ", name(context.isa), ": drop --isa and HADAL_ISA for ",
                          name(best_isa()), "; ");
    } else if (context.isa < Isa::avx512) {
        missing += "AVX-512 with BF16 (a newer processor makes bfloat16 several times faster); ";
    }
    missing += "GPU and MPI support are not in this build";
    report.add("missing", missing);
}

}  // namespace

extern const Command kDoctor = {
    .name = "doctor",
    .group = Group::machine,
    .summary = "What this machine offers: processor, memory bandwidth, what is missing",
    .example = "hadal doctor",
    .run = run_doctor,
};

}  // namespace hadal::cli
