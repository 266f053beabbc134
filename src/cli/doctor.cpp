// `hadal doctor`: what this machine offers, and what hadal would gain from more.
#include <fstream>
#include <set>
#include <string>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/read_bandwidth.h"
#include "cli/report.h"

namespace hadal::cli {

namespace {

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
    if (machine.nodes() > 1) {
        report.add("memory_nodes", machine.nodes());
        report.add("memory_spread", machine.spreads_memory());
    }
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
