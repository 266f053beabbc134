// `hadal data …`: text from folders, generated tasks, packed token ids, and what they hold.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/progress.h"
#include "data/collect.h"
#include "data/content_hash.h"
#include "data/document.h"
#include "data/encoder.h"
#include "data/pack.h"
#include "data/packed_corpus.h"
#include "data/synthetic.h"
#include "data/token_dataset.h"
#include "text/tokenizer.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;

struct Pair {
    std::string name;
    std::string value;
};

/// The NAME=VALUE pairs of a repeated option.
std::vector<Pair> pairs(const Arguments& arguments, std::string_view option) {
    std::vector<Pair> found;
    for (const std::string& text : arguments.texts(option)) {
        const size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
            throw Error(Error::Kind::usage,
                        concat(option, " wants NAME=VALUE, got '", text, "' (see --help)"));
        }
        found.push_back({text.substr(0, equals), text.substr(equals + 1)});
    }
    return found;
}

double number_in(const Pair& pair, std::string_view option) {
    size_t used = 0;
    double value = 0;
    try {
        value = std::stod(pair.value, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used != pair.value.size() || !(value > 0) || value > 1e15) {
        throw Error(Error::Kind::usage, concat(option, " ", pair.name, "=", pair.value,
                                               ": wants a positive number after the name"));
    }
    return value;
}

// ---- collect

std::vector<std::string> split_at_commas(std::string_view text) {
    std::vector<std::string> parts;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        parts.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

std::vector<data::Source> sources_of(const Arguments& arguments) {
    std::vector<data::Source> sources;
    const auto named = [&](const std::string& name) -> data::Source* {
        const auto found = std::ranges::find(sources, name, &data::Source::name);
        return found == sources.end() ? nullptr : &*found;
    };
    const auto add_root = [&](const std::string& name, const std::string& path) {
        data::Source* source = named(name);
        if (source == nullptr)
            source = &sources.emplace_back(data::Source{.name = name, .roots = {}});
        source->roots.emplace_back(path);
    };
    for (const std::string& path : arguments.texts("FOLDER")) add_root("text", path);
    for (const Pair& pair : pairs(arguments, "--source")) add_root(pair.name, pair.value);
    const auto existing = [&](const Pair& pair, std::string_view option) -> data::Source& {
        data::Source* source = named(pair.name);
        if (source == nullptr) {
            throw Error(Error::Kind::usage,
                        concat(option, " names source '", pair.name, "', which no --source gives"));
        }
        return *source;
    };
    for (const Pair& pair : pairs(arguments, "--match")) {
        std::vector<std::string> patterns = split_at_commas(pair.value);
        if (std::ranges::find(patterns, "") != patterns.end()) {
            throw Error(Error::Kind::usage, concat("--match ", pair.name, "=", pair.value,
                                                   ": a pattern is empty (write .h,README)"));
        }
        existing(pair, "--match").patterns = std::move(patterns);
    }
    for (const Pair& pair : pairs(arguments, "--weight")) {
        existing(pair, "--weight").weight = number_in(pair, "--weight");
    }
    for (const Pair& pair : pairs(arguments, "--limit")) {
        existing(pair, "--limit").max_bytes = int64_t(number_in(pair, "--limit"));
    }
    return sources;
}

void run_collect(const Arguments& arguments, Report& report) {
    const fs::path out = output_argument(arguments, "--out");
    Machine machine(arguments.globals());
    ProgressLine progress("files", arguments.globals().shows_progress());
    const data::CollectOptions options{
        .sources = sources_of(arguments),
        .min_bytes = arguments.integer("--min-bytes", 0),
        .max_bytes = arguments.integer("--max-bytes", 1),
        .near_duplicate = arguments.number("--near-duplicate", 0.05, 2),
        .on_progress = progress.callback(),
    };
    const auto sources = data::collect(options, machine.context().threads, out);
    int64_t documents = 0;
    int64_t bytes = 0;
    for (const data::SourceReport& source : sources) {
        documents += source.documents;
        bytes += source.bytes;
        Record row;
        row.add("source", source.name).add("files", source.files);
        row.add("documents", source.documents).add("bytes", source.bytes);
        row.add("exact_duplicates", source.exact_duplicates);
        row.add("near_duplicates", source.near_duplicates);
        row.add("binary", source.binary).add("too_short", source.too_short);
        row.add("too_long", source.too_long).add("unreadable", source.unreadable);
        row.add("over_budget", source.over_budget).add("symbolic_links", source.symbolic_links);
        report.add_row("sources", row);
    }
    report.add("documents", documents);
    report.add("bytes", bytes);
    report.add("out", out.string());
}

// ---- synth

struct TaskCount {
    data::Task task;
    int64_t count;
};

std::vector<TaskCount> task_counts(const Arguments& arguments) {
    std::vector<TaskCount> counts;
    for (const Pair& pair : pairs(arguments, "--task")) {
        counts.push_back({data::task_named(pair.name), int64_t(number_in(pair, "--task"))});
    }
    if (counts.empty()) {
        for (const data::Task task : data::all_tasks()) counts.push_back({task, 1000});
    }
    return counts;
}

/// Prompts with one right answer: every task but the stories.
int64_t write_evaluation(const fs::path& path, const std::vector<TaskCount>& counts, int64_t each,
                         uint64_t seed) {
    std::string lines;
    int64_t written = 0;
    for (const auto& [task, count] : counts) {
        if (task == data::Task::story) continue;
        for (int64_t index = 0; index < each; ++index, ++written) {
            const auto example = data::make_example(task, seed, index, data::Split::validation);
            lines += data::evaluation_line(task, example) + "\n";
        }
    }
    write_file_atomically(path, lines);
    return written;
}

void run_synth(const Arguments& arguments, Report& report) {
    const fs::path out = output_argument(arguments, "--out");
    if (arguments.has("--evaluation")) output_argument(arguments, "--evaluation");
    const std::vector<TaskCount> counts = task_counts(arguments);
    const uint64_t seed = arguments.seed();
    data::DocumentWriter writer(out);
    int64_t documents = 0;
    int64_t bytes = 0;
    for (const auto& [task, count] : counts) {
        const int64_t validation = count / int64_t(data::kValidationKeys);
        int64_t task_bytes = 0;
        for (int64_t index = 0; index < count + validation; ++index) {
            const bool train = index < count;
            const data::Document document =
                data::make_document(task, seed, train ? index : index - count,
                                    train ? data::Split::train : data::Split::validation);
            task_bytes += int64_t(document.text.size());
            writer.add(document);
        }
        Record row;
        row.add("task", data::name(task)).add("train", count).add("validation", validation);
        report.add_row("tasks", row.add("bytes", task_bytes));
        documents += count + validation;
        bytes += task_bytes;
    }
    writer.finish();
    report.add("documents", documents);
    report.add("bytes", bytes);
    if (arguments.has("--evaluation")) {
        report.add("evaluation_prompts",
                   write_evaluation(arguments.path("--evaluation"), counts,
                                    arguments.integer("--evaluation-count", 1), seed));
    }
    report.add("out", out.string());
}

// ---- pack

void add_corpus(const data::PackedCorpus& corpus, Report& report) {
    for (const data::PackedSource& source : corpus.sources) {
        for (const data::Split split : {data::Split::train, data::Split::validation}) {
            const auto& packed = source.split(split);
            if (!packed) continue;
            Record row;
            row.add("source", source.name).add("split", data::name(split));
            row.add("weight", source.weight).add("documents", packed->documents);
            row.add("tokens", packed->tokens).add("text_bytes", packed->text_bytes);
            report.add_row("sets", row.add("hash", packed->hash));
        }
    }
    const data::PackedSplit train = corpus.total(data::Split::train);
    const data::PackedSplit validation = corpus.total(data::Split::validation);
    const int64_t tokens = train.tokens + validation.tokens;
    report.add("documents", train.documents + validation.documents);
    report.add("tokens", tokens);
    report.add("validation_tokens", validation.tokens);
    report.add("text_bytes", train.text_bytes + validation.text_bytes);
    report.add("bytes_per_token", double(train.text_bytes + validation.text_bytes) /
                                      double(std::max<int64_t>(1, tokens)));
    report.add("vocab_size", corpus.vocab_size);
}

/// Of the tokenizer.json that a path names, itself or its folder.
std::string tokenizer_hash(const fs::path& path) {
    const fs::path file = fs::is_directory(path) ? path / "tokenizer.json" : path;
    return data::hash_text(data::content_hash(read_file(file)));
}

void run_pack(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const text::Tokenizer tokenizer = text::Tokenizer::load(arguments.path("--tokenizer"));
    ProgressLine progress("documents", arguments.globals().shows_progress());
    data::PackOptions options{
        .middle_rate = arguments.number("--fim-rate", 0, 1),
        .validation_every = arguments.integer("--validation-every", 0),
        .seed = arguments.seed(),
        .replace = arguments.flag("--force"),
        .on_progress = progress.callback(),
    };
    for (const Pair& pair : pairs(arguments, "--weight")) {
        options.weights[pair.name] = number_in(pair, "--weight");
    }
    std::vector<fs::path> documents;
    for (const std::string& path : arguments.texts("DOCUMENTS")) documents.emplace_back(path);
    data::Encoder encoder = data::encoder_of(tokenizer);
    encoder.hash = tokenizer_hash(arguments.path("--tokenizer"));
    const data::PackedCorpus corpus =
        data::pack(documents, encoder, options, machine.context().threads, arguments.path("--out"));
    add_corpus(corpus, report);
    report.add("out", arguments.path("--out").string());
}

// ---- stats

/// Reads every token file of a packed folder and compares it with the manifest.
void check_sets(const data::PackedCorpus& corpus) {
    for (const data::PackedSource& source : corpus.sources) {
        for (const data::Split split : {data::Split::train, data::Split::validation}) {
            if (!source.split(split)) continue;
            const auto set = data::TokenDataset::open(corpus.set_path(source, split));
            if (data::hash_text(set.content_hash()) != source.split(split)->hash) {
                throw Error(Error::Kind::corrupt_file,
                            concat("token ids differ from the manifest's hash: ",
                                   set.path().string(), ".bin (pack the documents again)"));
            }
        }
    }
}

void add_documents(const data::DocumentFile& file, Report& report) {
    struct Counts {
        int64_t documents = 0;
        int64_t validation = 0;
        int64_t bytes = 0;
        int64_t longest = 0;
    };
    std::map<std::string, Counts> sources;
    int64_t bytes = 0;
    for (int64_t i = 0; i < file.size(); ++i) {
        const data::Document document = file.read(i);
        Counts& counts = sources[document.source];
        const auto size = int64_t(document.text.size());
        ++counts.documents;
        counts.validation += document.split == data::Split::validation;
        counts.bytes += size;
        counts.longest = std::max(counts.longest, size);
        bytes += size;
    }
    for (const auto& [source, counts] : sources) {
        Record row;
        row.add("source", source).add("documents", counts.documents);
        row.add("validation", counts.validation).add("bytes", counts.bytes);
        row.add("mean_bytes", double(counts.bytes) / double(counts.documents));
        report.add_row("sources", row.add("longest_bytes", counts.longest));
    }
    report.add("documents", file.size());
    report.add("bytes", bytes);
}

void run_stats(const Arguments& arguments, Report& report) {
    const fs::path path = arguments.path("PATH");
    if (fs::is_directory(path)) {
        const auto corpus = data::PackedCorpus::open(path);
        check_sets(corpus);
        add_corpus(corpus, report);
        return;
    }
    const auto file = data::DocumentFile::open(path);
    add_documents(file, report);
    if (!arguments.has("--tokenizer")) return;
    Machine machine(arguments.globals());
    const text::Tokenizer tokenizer = text::Tokenizer::load(arguments.path("--tokenizer"));
    std::vector<int64_t> tokens(size_t(file.size()));
    file.for_each(machine.context().threads, [&](int64_t i, const data::Document& document) {
        tokens[size_t(i)] = int64_t(tokenizer.encode(document.text).size());
    });
    int64_t total = 0;
    for (const int64_t count : tokens) total += count;
    report.add("tokens", total);
}

}  // namespace

extern const Command kDataCollect = {
    .name = "data collect",
    .group = Group::text,
    .summary = "Text and code from folders, without duplicates, as documents (JSONL)",
    .example =
        "hadal data collect --source code=/usr/include --match code=.h,.hpp --out code.jsonl",
    .options =
        {{.name = "FOLDER", .help = "folders or files of a source called text", .repeated = true},
         {.name = "--source",
          .value = "NAME=PATH",
          .help = "a folder or file of a source; several with one name are one source",
          .repeated = true},
         {.name = "--match",
          .value = "NAME=.h,.c,README",
          .help = "endings and whole names that the source takes (every file)",
          .repeated = true},
         {.name = "--weight",
          .value = "NAME=W",
          .help = "how much more often than its size the source is to be seen (1)",
          .repeated = true},
         {.name = "--limit",
          .value = "NAME=BYTES",
          .help = "stop at so many bytes, spread over the folders",
          .repeated = true},
         {.name = "--min-bytes", .value = "N", .help = "of a document", .fallback = "64"},
         {.name = "--max-bytes", .value = "N", .help = "of a document", .fallback = "1048576"},
         {.name = "--near-duplicate",
          .value = "S",
          .help = "similarity from which a document is a copy; above 1: exact copies only",
          .fallback = "0.8"},
         {.name = "--out",
          .value = "FILE",
          .help = "documents to write",
          .letter = 'o',
          .required = true},
         {.name = "--force", .help = "replace an existing file"}},
    .run = run_collect,
};

extern const Command kDataSynth = {
    .name = "data synth",
    .group = Group::text,
    .summary = "Generated stories and tasks as documents, with held-out prompts",
    .example = "hadal data synth --task story=2000 --task arithmetic=5000 --out tasks.jsonl",
    .options =
        {{.name = "--task",
          .value = "NAME=COUNT",
          .help = "story, arithmetic, recall, copy, reverse, sort or addition; a twentieth more is "
                  "held out "
                  "(1000 of each)",
          .repeated = true},
         {.name = "--evaluation",
          .value = "FILE",
          .help = "held-out prompts and answers for exact match (JSONL)"},
         {.name = "--evaluation-count", .value = "N", .help = "of each task", .fallback = "200"},
         {.name = "--out",
          .value = "FILE",
          .help = "documents to write",
          .letter = 'o',
          .required = true},
         {.name = "--force", .help = "replace existing files"}},
    .run = run_synth,
};

extern const Command kDataPack = {
    .name = "data pack",
    .group = Group::text,
    .summary = "Documents to token ids that training reads, with fill-in-the-middle",
    .example = "hadal data pack code.jsonl tasks.jsonl --tokenizer tokenizer --out packed",
    .options = {{.name = "DOCUMENTS", .help = "JSONL files", .required = true, .repeated = true},
                {.name = "--tokenizer",
                 .value = "PATH",
                 .help = "a tokenizer's or model's folder, or tokenizer.json",
                 .required = true},
                {.name = "--fim-rate",
                 .value = "R",
                 .help = "share of training documents with the middle moved to the end",
                 .fallback = "0.1"},
                {.name = "--validation-every",
                 .value = "N",
                 .help = "hold out one document in N where they do not say; 0: none",
                 .fallback = "50"},
                {.name = "--weight",
                 .value = "NAME=W",
                 .help = "how much more often than its size a source is to be seen",
                 .repeated = true},
                {.name = "--out",
                 .value = "DIR",
                 .help = "folder to write",
                 .letter = 'o',
                 .required = true},
                {.name = "--force", .help = "replace an existing folder"}},
    .run = run_pack,
};

extern const Command kDataStats = {
    .name = "data stats",
    .group = Group::text,
    .summary = "What a documents file or a packed folder holds; checks the hashes of the latter",
    .example = "hadal data stats packed",
    .options = {{.name = "PATH", .help = "JSONL file or packed folder", .required = true},
                {.name = "--tokenizer",
                 .value = "FILE",
                 .help = "tokenizer.json, to count the tokens of documents"}},
    .run = run_stats,
};

}  // namespace hadal::cli
