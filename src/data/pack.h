// From documents to packed token ids: each document becomes <bos> text <eos>, a share of the
// training documents with its middle moved behind its end (fill_in_middle.h), and goes to the set
// of its source and split. Cutting into sequences is the loader's: consecutive windows, with no
// mask between documents (V3 report §4.1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/thread_pool.h"
#include "data/encoder.h"
#include "data/packed_corpus.h"

namespace hadal::data {

struct PackOptions {
    double middle_rate = 0.1;       // V3 report §4.1
    int64_t validation_every = 50;  // of documents that do not say their split; 0: none
    uint64_t seed = 0;              // of the choice and the cuts of fill-in-the-middle
    std::map<std::string, double> weights = {};  // by source, in place of what the documents say
    bool replace = false;                        // an existing folder
    ProgressCallback on_progress = [](int64_t, int64_t) {};  // documents of one file
};

/// Packs the documents of all files into a new folder, which appears whole or not at all; the same
/// bytes for any number of threads. Error(bad_input): no documents, a malformed line, two weights
/// for a source, a weight for a source that is not there, no markers for a rate above 0.
/// Error(usage): the folder exists.
PackedCorpus pack(const std::vector<std::filesystem::path>& documents, const Encoder& encoder,
                  const PackOptions& options, ThreadPool& threads,
                  const std::filesystem::path& out);

}  // namespace hadal::data
