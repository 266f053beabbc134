#include "data/pack.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/error.h"
#include "data/content_hash.h"
#include "data/document.h"
#include "data/fill_in_middle.h"
#include "data/token_dataset.h"

namespace hadal::data {

namespace {

namespace fs = std::filesystem;

/// A folder under a temporary name until keep() renames it.
class TemporaryFolder {
  public:
    TemporaryFolder(fs::path target, bool replace) : target_(std::move(target)), replace_(replace) {
        if (fs::exists(target_) && !replace_) {
            throw Error(Error::Kind::usage, concat("output folder exists: ", target_.string(),
                                                   " (choose another or give --force)"));
        }
        path_ = target_;
        path_ += concat(".tmp-", ::getpid());
        std::error_code error;
        fs::create_directories(path_, error);
        if (error) fail(error);
    }
    ~TemporaryFolder() {
        std::error_code ignored;  // a destructor has nobody to tell
        if (!path_.empty()) fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const fs::path& path() const {
        return path_;
    }
    void keep() {
        std::error_code error;
        if (replace_) fs::remove_all(target_, error);
        fs::rename(path_, target_, error);
        if (error) fail(error);
        path_.clear();
    }

  private:
    [[noreturn]] void fail(const std::error_code& error) const {
        throw Error(Error::Kind::io,
                    concat("cannot write ", target_.string(), ": ", error.message()));
    }
    fs::path target_;
    fs::path path_;
    bool replace_;
};

struct Packed {
    std::string source;
    double weight = 1;
    Split split = Split::train;
    int64_t text_bytes = 0;
    std::vector<int32_t> ids = {};
};

Packed pack_document(const Document& document, int64_t index, const Encoder& encoder,
                     const PackOptions& options) {
    Packed packed{.source = document.source,
                  .weight = document.weight,
                  .split = split_of(document, options.validation_every),
                  .text_bytes = int64_t(document.text.size())};
    const auto add = [&](std::string_view text) {
        const std::vector<int32_t> ids = encoder.encode(text);
        packed.ids.insert(packed.ids.end(), ids.begin(), ids.end());
    };
    if (encoder.bos) packed.ids.push_back(*encoder.bos);
    // Validation text stays as it is, so that its loss per byte can be compared with anybody's.
    const auto cut = packed.split == Split::train && encoder.middle
                         ? cut_for_middle(document.text, options.middle_rate, options.seed, index)
                         : std::nullopt;
    if (cut) {
        packed.ids.push_back(encoder.middle->begin);
        add(cut->prefix);
        packed.ids.push_back(encoder.middle->hole);
        add(cut->suffix);
        packed.ids.push_back(encoder.middle->end);
        add(cut->middle);
    } else {
        add(document.text);
    }
    packed.ids.push_back(encoder.eos);
    return packed;
}

/// The sets being written, made as their first document comes.
class Sets {
  public:
    Sets(const fs::path& folder, const Encoder& encoder, const PackOptions& options)
        : folder_(folder), encoder_(encoder), options_(options) {}

    void add(const Packed& packed, const fs::path& file) {
        Set& set = sets_[packed.source];
        if (set.corpus.name.empty()) {
            const auto given = options_.weights.find(packed.source);
            set.corpus.name = packed.source;
            set.said = packed.weight;
            set.corpus.weight = given == options_.weights.end() ? packed.weight : given->second;
        }
        if (packed.weight != set.said) {
            throw Error(Error::Kind::bad_input,
                        concat("source '", packed.source, "' has weight ", set.said,
                               " in one document and ", packed.weight,
                               " in another: ", file.string(), " (make them equal)"));
        }
        auto& writer = set.writers[packed.split == Split::train ? 0 : 1];
        auto& split = packed.split == Split::train ? set.corpus.train : set.corpus.validation;
        if (!writer) {
            const std::string name_of_set = concat(packed.source, ".", name(packed.split));
            writer =
                std::make_unique<TokenDatasetWriter>(folder_ / name_of_set, encoder_.vocab_size);
            split.emplace();
        }
        writer->add_document(packed.ids);
        split->text_bytes += packed.text_bytes;
    }

    std::vector<PackedSource> finish() {
        for (const auto& [source, weight] : options_.weights) {
            if (!sets_.contains(source)) {
                throw Error(Error::Kind::bad_input, concat("weight for source '", source,
                                                           "', of which there is no document"));
            }
        }
        std::vector<PackedSource> sources;
        for (auto& [source, set] : sets_) {
            for (const Split split : {Split::train, Split::validation}) {
                const auto& writer = set.writers[split == Split::train ? 0 : 1];
                if (!writer) continue;
                writer->finish();
                auto& counts = split == Split::train ? set.corpus.train : set.corpus.validation;
                counts->documents = writer->documents();
                counts->tokens = writer->tokens();
                counts->hash = hash_text(writer->hash());
            }
            sources.push_back(std::move(set.corpus));
        }
        return sources;
    }

  private:
    struct Set {
        PackedSource corpus;
        double said = 1;  // the documents' weight
        std::unique_ptr<TokenDatasetWriter> writers[2];
    };
    const fs::path& folder_;
    const Encoder& encoder_;
    const PackOptions& options_;
    std::map<std::string, Set> sets_;
};

/// Encodes a file's documents, a bounded chunk at a time in parallel, and adds them in order.
/// `first` is the index of its first document among those of all files. Returns the number of
/// documents.
int64_t pack_file(const fs::path& path, int64_t first, const Encoder& encoder,
                  const PackOptions& options, ThreadPool& threads, Sets& sets) {
    const DocumentFile file = DocumentFile::open(path);
    constexpr int64_t kChunkBytes = 16 << 20;
    std::vector<Packed> chunk;
    for (int64_t begin = 0, end = 0; begin < file.size(); begin = end) {
        for (int64_t bytes = 0; end < file.size() && (end == begin || bytes < kChunkBytes); ++end) {
            bytes += file.line_bytes(end);
        }
        chunk.assign(size_t(end - begin), {});
        threads.parallel_for(end - begin, /*grain=*/8, [&](int64_t i) {
            chunk[size_t(i)] =
                pack_document(file.read(begin + i), first + begin + i, encoder, options);
        });
        for (const Packed& packed : chunk) sets.add(packed, path);
        options.on_progress(end, file.size());
    }
    return file.size();
}

void check(const Encoder& encoder, const PackOptions& options) {
    if (!(options.middle_rate >= 0 && options.middle_rate <= 1)) {
        throw Error(Error::Kind::bad_input,
                    concat("fill-in-the-middle rate ", options.middle_rate, " (0 to 1)"));
    }
    if (options.middle_rate > 0 && !encoder.middle) {
        throw Error(Error::Kind::bad_input,
                    "the tokenizer has no fill-in-the-middle tokens (set the rate to 0)");
    }
    for (const auto& [source, weight] : options.weights) {
        if (!(weight > 0) || !std::isfinite(weight)) {
            throw Error(Error::Kind::bad_input,
                        concat("weight ", weight, " of source '", source, "' must be positive"));
        }
    }
}

}  // namespace

PackedCorpus pack(const std::vector<fs::path>& documents, const Encoder& encoder,
                  const PackOptions& options, ThreadPool& threads, const fs::path& out) {
    check(encoder, options);
    TemporaryFolder folder(out, options.replace);
    Sets sets(folder.path(), encoder, options);
    int64_t count = 0;
    for (const fs::path& path : documents) {
        count += pack_file(path, count, encoder, options, threads, sets);
    }
    PackedCorpus corpus;
    corpus.folder = out;
    corpus.sources = sets.finish();
    if (corpus.total(Split::train).text_bytes + corpus.total(Split::validation).text_bytes == 0) {
        throw Error(Error::Kind::bad_input,
                    concat("empty corpus: no document with text in ", documents.size(),
                           " file(s) for ", out.string()));
    }
    corpus.vocab_size = encoder.vocab_size;
    corpus.tokenizer_hash = encoder.hash;
    corpus.middle_rate = options.middle_rate;
    corpus.seed = options.seed;
    corpus.write(folder.path());
    folder.keep();
    return corpus;
}

}  // namespace hadal::data
