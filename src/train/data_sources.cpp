#include "train/data_sources.h"

#include "core/error.h"
#include "data/packed_corpus.h"

namespace hadal::train {

namespace {

DataSources from_corpus(const Recipe& recipe) {
    const auto corpus = data::PackedCorpus::open(recipe.data.corpus);
    if (corpus.vocab_size > recipe.model.vocab_size) {
        throw Error(Error::Kind::bad_input,
                    concat("data.corpus has a vocabulary of ", corpus.vocab_size,
                           ", model.vocab_size is ", recipe.model.vocab_size, ": ",
                           recipe.data.corpus, " (pack it with the model's tokenizer)"));
    }
    DataSources sources{.training = corpus.training(),
                        .validation = corpus.validation(recipe.data.seq_len)};
    const data::PackedSplit held_out = corpus.total(data::Split::validation);
    if (held_out.tokens > 0) {
        sources.validation_bytes_per_token = double(held_out.text_bytes) / double(held_out.tokens);
    }
    return sources;
}

}  // namespace

DataSources find_data(const Recipe& recipe) {
    if (!recipe.data.corpus.empty()) return from_corpus(recipe);
    DataSources sources;
    for (size_t i = 0; i < recipe.data.train.size(); ++i) {
        const double weight = recipe.data.weights.empty() ? 1 : recipe.data.weights[i];
        sources.training.push_back({.path = recipe.data.train[i], .weight = weight});
    }
    sources.validation.assign(recipe.data.validation.begin(), recipe.data.validation.end());
    return sources;
}

}  // namespace hadal::train
