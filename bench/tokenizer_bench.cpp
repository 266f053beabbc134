// Speed of the tokenizer, one JSON line a measurement.
//     build/release/bench/bench_tokenizer_bench TEXT… [--vocab N] [--threads N] [--out DIR]
//     build/release/bench/bench_tokenizer_bench TEXT… --model DIR
// Learns a vocabulary from the files (or loads a model's), then encodes and decodes them on one
// thread. With --out the tokenizer is written there, with ids.json for
// tools/make_tokenizer_goldens.py --check.
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_map.h"
#include "text/bpe_train.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace {

using hadal::text::Tokenizer;

double seconds_of(const auto& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void print(const std::string& test, double bytes, double seconds, nlohmann::ordered_json more) {
    nlohmann::ordered_json line = {{"test", test},
                                   {"bytes", bytes},
                                   {"seconds", seconds},
                                   {"megabytes_per_second", bytes / seconds / 1e6}};
    if (!more.is_null()) line.update(more);
    std::cout << line.dump() << std::endl;
}

/// Lines of the first file that are text, with their ids, for another program to compare.
void write_ids(const Tokenizer& tokenizer, std::string_view text, const std::string& path) {
    nlohmann::json cases = nlohmann::json::array();
    for (size_t at = 0; at < text.size() && cases.size() < 4000;) {
        const size_t end = std::min(text.find("\n\n", at), text.size());
        const std::string part(text.substr(at, end - at));
        at = end + 2;
        cases.push_back({{"text", part}, {"ids", tokenizer.encode(part)}});
    }
    std::ofstream(path) << cases.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

struct Options {
    std::vector<std::string> paths;
    int64_t vocab_size = 32768;
    int threads = 0;
    std::string out;
    std::string model;
};

Tokenizer train(const std::vector<std::string_view>& documents, double bytes,
                const Options& options) {
    hadal::ThreadPool pool(options.threads);
    std::optional<Tokenizer> trained;
    const double seconds = seconds_of([&] {
        trained = hadal::text::train_bpe(pool, documents, {.vocab_size = options.vocab_size});
    });
    print("train", bytes, seconds,
          {{"vocab_size", trained->vocab_size()}, {"threads", pool.size()}});
    if (!options.out.empty()) {
        trained->save(options.out);
        write_ids(*trained, documents.front(), options.out + "/ids.json");
    }
    return std::move(*trained);
}

Tokenizer load(const std::string& path) {
    std::optional<Tokenizer> loaded;
    const double seconds = seconds_of([&] { loaded = Tokenizer::load(path); });
    const auto bytes = std::filesystem::file_size(std::filesystem::path(path) / "tokenizer.json");
    print("load", double(bytes), seconds, {{"vocab_size", loaded->vocab_size()}});
    return std::move(*loaded);
}

void measure(const Options& options) {
    std::vector<std::shared_ptr<const hadal::FileMap>> files;
    std::vector<std::string_view> documents;
    double bytes = 0;
    for (const std::string& path : options.paths) {
        files.push_back(hadal::FileMap::open(path));
        documents.push_back(files.back()->text());
        bytes += double(documents.back().size());
    }
    const Tokenizer tokenizer =
        options.model.empty() ? train(documents, bytes, options) : load(options.model);
    std::vector<std::vector<int32_t>> ids;
    const double encoding = seconds_of([&] {
        for (const std::string_view document : documents) ids.push_back(tokenizer.encode(document));
    });
    double tokens = 0;
    for (const std::vector<int32_t>& one : ids) tokens += double(one.size());
    print("encode", bytes, encoding, {{"threads", 1}, {"bytes_per_token", bytes / tokens}});
    bool same = true;
    const double decoding = seconds_of([&] {
        for (size_t i = 0; i < ids.size(); ++i) same &= tokenizer.decode(ids[i]) == documents[i];
    });
    print("decode", bytes, decoding, {{"threads", 1}, {"same_bytes", same}});
}

}  // namespace

int main(int count, char** words) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const bool has_value = i + 1 < count;
        if (word == "--vocab" && has_value) {
            options.vocab_size = std::stoll(words[++i]);
        } else if (word == "--threads" && has_value) {
            options.threads = std::stoi(words[++i]);
        } else if (word == "--out" && has_value) {
            options.out = words[++i];
        } else if (word == "--model" && has_value) {
            options.model = words[++i];
        } else {
            options.paths.push_back(word);
        }
    }
    try {
        measure(options);
    } catch (const hadal::Error& error) {
        std::cerr << "error: " << error.what() << std::endl;
        return error.exit_status();
    }
    return 0;
}
