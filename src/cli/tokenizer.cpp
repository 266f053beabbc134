// `hadal tokenizer …`: learns a tokenizer from text, and shows what one makes of text and of ids.
#include <string>
#include <vector>

#include "checkpoint/staged_directory.h"
#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/token_ids.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/progress.h"
#include "data/document.h"
#include "text/bpe_train.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;

/// A file's texts: the documents of a JSONL file but those held out, the whole content of any
/// other.
void read_texts(const fs::path& path, ThreadPool& threads, std::vector<std::string>& texts) {
    if (path.extension() != ".jsonl") {
        texts.push_back(read_file(path));
        return;
    }
    const auto file = data::DocumentFile::open(path);
    const size_t begin = texts.size();
    texts.resize(begin + size_t(file.size()));
    file.for_each(threads, [&](int64_t i, data::Document& document) {
        if (document.split == data::Split::validation) return;
        texts[begin + size_t(i)] = std::move(document.text);
    });
}

void run_train(const Arguments& arguments, Report& report) {
    const fs::path out = output_argument(arguments, "--out");
    Machine machine(arguments.globals());
    ThreadPool& threads = machine.context().threads;
    std::vector<std::string> texts;
    for (const std::string& path : arguments.texts("TEXT")) read_texts(path, threads, texts);
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    ProgressLine progress("merges", arguments.globals().shows_progress());
    const text::Tokenizer tokenizer =
        text::train_bpe(threads, views,
                        {.vocab_size = arguments.integer("--vocab-size", 1, 1 << 24),
                         .min_frequency = arguments.integer("--min-frequency", 1),
                         .on_progress = progress.callback()});
    checkpoint::StagedDirectory folder(out);
    tokenizer.save(folder.path());
    folder.publish(arguments.flag("--force"));
    int64_t bytes = 0;
    for (const std::string& text : texts) bytes += int64_t(text.size());
    report.add("documents", texts.size());
    report.add("bytes", bytes);
    report.add("vocab_size", tokenizer.vocab_size());
    report.add("out", out.string());
}

/// What -p or --text gives.
std::string given_text(const Arguments& arguments) {
    if (arguments.has("--prompt") == arguments.has("--text")) {
        throw Error(Error::Kind::usage, "give either --prompt or --text (- reads standard input)");
    }
    if (arguments.has("--prompt")) return arguments.text("--prompt");
    return file_content(arguments, "--text");
}

void run_encode(const Arguments& arguments, Report& report) {
    const auto tokenizer = text::Tokenizer::load(arguments.path("MODEL"));
    const std::string text = given_text(arguments);
    const auto ids = tokenizer.encode(text, arguments.flag("--special"));
    report.add("ids", std::vector<int64_t>(ids.begin(), ids.end()));
    report.add("tokens", ids.size());
    report.add("bytes", text.size());
}

/// The words of the command line, or what the file of --tokens holds.
std::vector<int32_t> given_ids(const Arguments& arguments, int64_t vocab_size) {
    const auto words = arguments.texts("ID");
    if (words.empty() == !arguments.has("--tokens")) {
        throw Error(Error::Kind::usage,
                    "give either ids or --tokens FILE (- reads standard input)");
    }
    if (words.empty()) {
        return parse_token_ids(file_content(arguments, "--tokens"), arguments.text("--tokens"),
                               vocab_size);
    }
    std::string list;
    for (const std::string& word : words) list += (list.empty() ? "[" : ",") + word;
    return parse_token_ids(list + "]", "ids", vocab_size);
}

void run_decode(const Arguments& arguments, Report& report) {
    const auto tokenizer = text::Tokenizer::load(arguments.path("MODEL"));
    const std::string text = tokenizer.decode(given_ids(arguments, tokenizer.vocab_size()),
                                              arguments.flag("--skip-special"));
    if (report.json()) {
        report.add("text", text::displayable(text));  // JSON has no way to say other bytes
    } else {
        report.say(text);
    }
}

}  // namespace

extern const Command kTokenizerTrain = {
    .name = "tokenizer train",
    .group = Group::text,
    .summary = "Learn a byte-level BPE tokenizer from text",
    .example = "hadal tokenizer train code.jsonl tasks.jsonl --vocab-size 4096 --out tokenizer",
    .options = {{.name = "TEXT",
                 .help = "text files, or documents (.jsonl)",
                 .required = true,
                 .repeated = true},
                {.name = "--vocab-size",
                 .value = "N",
                 .help = "tokens in all, control tokens and bytes included",
                 .fallback = "32768"},
                {.name = "--min-frequency",
                 .value = "N",
                 .help = "a pair seen less often is not merged",
                 .fallback = "2"},
                {.name = "--out",
                 .value = "DIR",
                 .help = "folder to write",
                 .letter = 'o',
                 .required = true},
                {.name = "--force", .help = "replace an existing folder"}},
    .run = run_train,
};

extern const Command kTokenizerEncode = {
    .name = "tokenizer encode",
    .group = Group::text,
    .summary = "Token ids of a text",
    .example = "hadal tokenizer encode tokenizer -p 'Once upon a time'",
    .options = {{.name = "MODEL", .help = "a model's folder or a tokenizer.json", .required = true},
                {.name = "--prompt", .value = "TEXT", .help = "the text", .letter = 'p'},
                {.name = "--text",
                 .value = "FILE",
                 .help = "a file with the text; - for standard input"},
                {.name = "--special", .help = "read control tokens that the text spells"}},
    .run = run_encode,
};

extern const Command kTokenizerDecode = {
    .name = "tokenizer decode",
    .group = Group::text,
    .summary = "The text of token ids",
    .example = "hadal tokenizer decode tokenizer 17 4 260",
    .options = {{.name = "MODEL", .help = "a model's folder or a tokenizer.json", .required = true},
                {.name = "ID", .help = "token ids", .repeated = true},
                {.name = "--tokens",
                 .value = "FILE",
                 .help = "a JSON list of ids; - for standard input"},
                {.name = "--skip-special", .help = "leave control tokens out"}},
    .run = run_decode,
};

}  // namespace hadal::cli
