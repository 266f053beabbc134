// From folders to documents: what is too short, too long, binary, or already there is left out, and
// everything left out is counted. Texts are kept byte for byte, licence headers included.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/thread_pool.h"
#include "data/source.h"

namespace hadal::data {

struct CollectOptions {
    std::vector<Source> sources;
    int64_t min_bytes = 64;       // of a document
    int64_t max_bytes = 1 << 20;  // of a document
    double max_invalid_share =
        0.05;  // bytes that are not UTF-8; a file with a NUL byte is binary in any case
    double near_duplicate =
        0.8;  // Jaccard similarity of shingles from which a document is a copy; > 1: exact only
    ProgressCallback on_progress = [](int64_t, int64_t) {};  // files of one source
};

/// What became of a source's files.
struct SourceReport {
    std::string name;
    double weight = 1;
    int64_t files = 0;  // found; the sum of all below but the last two
    int64_t documents = 0;
    int64_t too_short = 0;
    int64_t too_long = 0;
    int64_t binary = 0;
    int64_t unreadable = 0;
    int64_t exact_duplicates = 0;
    int64_t near_duplicates = 0;
    int64_t over_budget = 0;  // not looked at: the source's max_bytes was reached
    int64_t symbolic_links = 0;
    int64_t bytes = 0;  // of the documents
};

/// Writes the documents of all sources to a JSONL file (document.h), the same file for any number
/// of threads. Of equal or nearly equal documents the first stays. Error(bad_input) when nothing is
/// left; then no file is written.
std::vector<SourceReport> collect(const CollectOptions& options, ThreadPool& threads,
                                  const std::filesystem::path& out);

}  // namespace hadal::data
