#include "data/collect.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/file_map.h"
#include "data/content_hash.h"
#include "data/document.h"
#include "data/near_duplicates.h"
#include "data/utf8.h"

namespace hadal::data {

namespace {

/// One file after the filters that look at nothing else.
struct Candidate {
    enum class Verdict { kept, too_short, too_long, binary, unreadable };
    Verdict verdict = Verdict::kept;
    std::string text;
    uint64_t hash = 0;
    std::vector<uint64_t> shingles;
    Signature signature{};
};

std::optional<std::string> read_if_possible(const std::filesystem::path& path) {
    try {
        return read_file(path);
    } catch (const Error&) {
        return std::nullopt;  // counted by the caller: one unreadable file does not end a
                              // collection
    }
}

Candidate examine(const std::filesystem::path& path, const CollectOptions& options) {
    using Verdict = Candidate::Verdict;
    Candidate candidate;
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    const auto refuse = [&](Verdict verdict) {
        candidate.verdict = verdict;
        return std::move(candidate);
    };
    if (!error && int64_t(bytes) > options.max_bytes) return refuse(Verdict::too_long);
    auto text = read_if_possible(path);
    if (!text) return refuse(Verdict::unreadable);
    candidate.text = std::move(*text);
    const auto size = int64_t(candidate.text.size());
    if (size < options.min_bytes) return refuse(Verdict::too_short);
    if (size > options.max_bytes) return refuse(Verdict::too_long);
    if (candidate.text.find('\0') != std::string::npos ||
        double(invalid_utf8_bytes(candidate.text)) > options.max_invalid_share * double(size)) {
        return refuse(Verdict::binary);
    }
    candidate.hash = content_hash(candidate.text);
    if (options.near_duplicate <= 1) {
        candidate.shingles = shingles(candidate.text);
        candidate.signature = min_hash(candidate.shingles);
    }
    return candidate;
}

/// Everything kept so far, over all sources. Texts are read again where two must be compared: what
/// stays in memory is a hash, a signature and a path a document.
class Known {
  public:
    explicit Known(double threshold) : threshold_(threshold) {}

    bool has_equal(const Candidate& candidate) const {
        const auto [begin, end] = by_hash_.equal_range(candidate.hash);
        return std::any_of(begin, end, [&](const auto& entry) {
            return read_if_possible(paths_[size_t(entry.second)]) == candidate.text;
        });
    }

    bool has_similar(const Candidate& candidate) const {
        if (threshold_ > 1) return false;
        const auto numbers = index_.candidates(candidate.signature, threshold_);
        return std::any_of(numbers.begin(), numbers.end(), [&](int64_t number) {
            const auto other = read_if_possible(paths_[size_t(number)]);
            return other && jaccard(shingles(*other), candidate.shingles) >= threshold_;
        });
    }

    void add(const Candidate& candidate, const std::filesystem::path& path) {
        by_hash_.emplace(candidate.hash, int64_t(paths_.size()));
        if (threshold_ <= 1) index_.add(candidate.signature);
        paths_.push_back(path);
    }

  private:
    double threshold_;
    std::vector<std::filesystem::path> paths_;
    std::unordered_multimap<uint64_t, int64_t> by_hash_;
    SimilarityIndex index_;
};

/// Counts a candidate under what became of it; true when it is to be written.
bool judge(const Candidate& candidate, const Known& known, SourceReport& report) {
    switch (candidate.verdict) {
        case Candidate::Verdict::too_short:
            ++report.too_short;
            return false;
        case Candidate::Verdict::too_long:
            ++report.too_long;
            return false;
        case Candidate::Verdict::binary:
            ++report.binary;
            return false;
        case Candidate::Verdict::unreadable:
            ++report.unreadable;
            return false;
        case Candidate::Verdict::kept:
            break;
    }
    if (known.has_equal(candidate)) {
        ++report.exact_duplicates;
        return false;
    }
    if (known.has_similar(candidate)) {
        ++report.near_duplicates;
        return false;
    }
    ++report.documents;
    report.bytes += int64_t(candidate.text.size());
    return true;
}

SourceReport collect_source(const Source& source, const CollectOptions& options,
                            ThreadPool& threads, Known& known, DocumentWriter& writer) {
    const FoundFiles found = find_files(source);
    SourceReport report{.name = source.name,
                        .weight = source.weight,
                        .files = int64_t(found.paths.size()),
                        .symbolic_links = found.symbolic_links};
    // Files are examined in parallel and judged one after the other, in order, so that "the first
    // stays" means the same for any number of threads. A chunk bounds the text in memory.
    constexpr size_t kChunk = 256;
    std::vector<Candidate> chunk;
    for (size_t begin = 0; begin < found.paths.size(); begin += kChunk) {
        const size_t count = std::min(kChunk, found.paths.size() - begin);
        chunk.assign(count, {});
        threads.parallel_for(int64_t(count), [&](int64_t i) {
            chunk[size_t(i)] = examine(found.paths[begin + size_t(i)], options);
        });
        for (size_t i = 0; i < count; ++i) {
            if (source.max_bytes > 0 && report.bytes >= source.max_bytes) {
                report.over_budget = int64_t(found.paths.size() - begin - i);
                return report;
            }
            if (!judge(chunk[i], known, report)) continue;
            known.add(chunk[i], found.paths[begin + i]);
            writer.add(
                {.text = std::move(chunk[i].text), .source = source.name, .weight = source.weight});
        }
        options.on_progress(int64_t(begin + count), report.files);
    }
    return report;
}

void check(const CollectOptions& options) {
    const auto refuse = [](const std::string& what) {
        throw Error(Error::Kind::usage, concat("data collect: ", what));
    };
    if (options.sources.empty()) refuse("no source given (name at least one folder)");
    if (options.min_bytes < 0 || options.max_bytes < options.min_bytes) {
        refuse(concat("document sizes from ", options.min_bytes, " to ", options.max_bytes,
                      " bytes leave nothing"));
    }
    if (!(options.near_duplicate > 0)) refuse("the near-duplicate threshold must be above 0");
    for (const Source& source : options.sources) {
        check_source_name(source.name, "data collect");
        const auto same_name = [&](const Source& other) { return other.name == source.name; };
        if (std::count_if(options.sources.begin(), options.sources.end(), same_name) > 1) {
            refuse(concat("two sources are called '", source.name, "'"));
        }
        if (!(source.weight > 0)) refuse(concat("weight of '", source.name, "' must be positive"));
        for (const std::string& pattern : source.patterns) {
            if (pattern.empty()) refuse(concat("empty pattern for '", source.name, "'"));
        }
    }
}

}  // namespace

std::vector<SourceReport> collect(const CollectOptions& options, ThreadPool& threads,
                                  const std::filesystem::path& out) {
    check(options);
    Known known(options.near_duplicate);
    DocumentWriter writer(out);
    std::vector<SourceReport> reports;
    int64_t files = 0;
    int64_t documents = 0;
    for (const Source& source : options.sources) {
        reports.push_back(collect_source(source, options, threads, known, writer));
        files += reports.back().files;
        documents += reports.back().documents;
    }
    if (documents == 0) {
        throw Error(Error::Kind::bad_input, concat("empty corpus: none of ", files,
                                                   " files passed the filters: ", out.string(),
                                                   " (check folders, endings and size limits)"));
    }
    writer.finish();
    return reports;
}

}  // namespace hadal::data
