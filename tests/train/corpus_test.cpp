// Training on what `hadal data pack` leaves.
#include <numbers>

#include "core/file_map.h"
#include "data/packed_corpus.h"
#include "train/data_sources.h"
#include "train/run_support.h"

using namespace hadal;
using namespace hadal::train;

namespace {

/// One source of counting ids; every token stands for two bytes of text.
void write_corpus(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    data::PackedCorpus corpus;
    corpus.folder = folder;
    corpus.vocab_size = 64;
    data::PackedSource source{.name = "counting", .weight = 1, .train = {}, .validation = {}};
    for (const data::Split split : {data::Split::train, data::Split::validation}) {
        data::TokenDatasetWriter writer(corpus.set_path(source, split), 64);
        std::vector<int32_t> ids;
        for (int32_t i = 0; i < 600; ++i) ids.push_back(i % 64);
        writer.add_document(ids);
        writer.finish();
        data::PackedSplit packed{.documents = 1, .tokens = 600, .text_bytes = 1200, .hash = "0"};
        (split == data::Split::train ? source.train : source.validation) = packed;
    }
    corpus.sources.push_back(source);
    corpus.write(folder);
}

Recipe corpus_recipe(const test::TemporaryDirectory& folder, std::vector<std::string> sets = {}) {
    write_corpus(folder / "packed");
    std::filesystem::create_directories(folder / "tokenizer");
    write_file_atomically(folder / "tokenizer/tokenizer.json", "{}");
    sets.insert(
        sets.begin(),
        {"data.train=[]", "data.validation=[]", "data.corpus=" + (folder / "packed").string(),
         "data.tokenizer=" + (folder / "tokenizer/tokenizer.json").string(), "run.steps=3"});
    return test::small_recipe(folder, sets);
}

}  // namespace

TEST_CASE("corpus: training, validation, bits per byte; the tokenizer goes with the model") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const auto summary = pretrain(machine.context, corpus_recipe(folder), {});
    REQUIRE(summary.last.bits_per_byte.has_value());
    CHECK(*summary.last.bits_per_byte ==
          doctest::Approx(*summary.last.validation_loss / std::numbers::ln2 / 2));
    CHECK(read_file(folder / "run/model/tokenizer.json") == "{}");
}

TEST_CASE("corpus: a vocabulary larger than the model's is refused before anything is computed") {
    const test::TemporaryDirectory folder;
    CHECK_THROWS_WITH_AS(find_data(corpus_recipe(folder, {"model.vocab_size=32"})),
                         doctest::Contains("vocabulary of 64, model.vocab_size is 32"), Error);
}

TEST_CASE("pretrain: an error is in the run's log, and the last snapshot stays") {
    const test::TemporaryDirectory folder;
    test::Machine machine;
    const Recipe recipe = test::small_recipe(folder, {"snapshot.every=2"});
    int steps = 0;
    const PretrainOptions options{.on_step = [&](const Metrics&) {
        if (++steps == 5) throw Error(Error::Kind::io, "standard output is gone");
    }};
    CHECK_THROWS_AS(pretrain(machine.context, recipe, options), Error);
    CHECK(read_file(folder / "run/log.txt").find("error after step 5: standard output is gone") !=
          std::string::npos);
    CHECK(pretrain(machine.context, recipe, {.resume = true}).resumed_from == 4);
}
