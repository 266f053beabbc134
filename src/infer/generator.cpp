#include "infer/generator.h"

#include <algorithm>
#include <chrono>

#include "infer/page_pool.h"

namespace hadal::infer {

namespace {

// Rows of a prompt that run in one step: enough for efficient products, little enough scratch
// memory.
constexpr int64_t kPrefillChunk = 256;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

Tensor id_tensor(std::span<const int32_t> ids) {
    Tensor tensor = Tensor::uninitialized({int64_t(ids.size())}, DType::i32);  // [tokens] i32
    std::copy(ids.begin(), ids.end(), tensor.values<int32_t>().begin());
    return tensor;
}

}  // namespace

std::string_view name(FinishReason reason) {
    return reason == FinishReason::stop ? "stop" : "length";
}

Generator::Generator(Context& context, const model::Model& model)
    : context_(context), model_(model) {}

void Generator::check(std::span<const int32_t> prompt, const GenerateOptions& options) const {
    const auto& config = model_.config;
    const Sampler checks_its_options(options.sampling);
    if (prompt.empty()) {
        throw Error(Error::Kind::bad_input,
                    "the prompt holds no token (give some text, or a model with a BOS token)");
    }
    for (const int32_t id : prompt) {
        if (id < 0 || id >= config.vocab_size) {
            throw Error(
                Error::Kind::bad_input,
                concat("token id ", id, " is outside the vocabulary of ", config.vocab_size));
        }
    }
    if (int64_t(prompt.size()) >= config.max_position_embeddings) {
        throw Error(Error::Kind::bad_input,
                    concat("the prompt has ", prompt.size(), " tokens, the model takes ",
                           config.max_position_embeddings, " (shorten it)"));
    }
    if (options.draft_tokens > 0 && config.num_nextn_predict_layers == 0) {
        throw Error(Error::Kind::usage,
                    "the model has no MTP module to speculate with (use --speculate off)");
    }
}

void Generator::reserve(int64_t positions) {
    const auto known = int64_t(pages_.size());
    const int64_t needed = pages_for(positions + 1);  // the MTP module keeps its rows a slot late
    if (needed <= known) return;
    const DType dtype = model_.weights.embed_tokens.dtype();
    model::LatentCache larger = model::allocate_latent_cache(model_.config, needed, dtype);
    for (size_t i = 0; i < cache_.layers.size(); ++i) {
        const int64_t rows = known * kPageTokens;
        larger.layers[i].rows(0, rows).copy_from(cache_.layers[i].rows(0, rows));
    }
    cache_ = std::move(larger);
    for (int64_t page = known; page < needed; ++page) pages_.push_back(int32_t(page));
}

/// Cached positions that the new prompt can keep. The MTP layer's row i depends on token i + 1, and
/// its next rows need the hidden state of the last token kept: one token less than the common
/// prefix serves both.
int64_t Generator::reusable_prefix(std::span<const int32_t> prompt) const {
    const size_t most = std::min(prompt.size(), tokens_.size());
    size_t common = 0;
    while (common < most && prompt[common] == tokens_[common]) ++common;
    return std::max<int64_t>(int64_t(common) - 1, 0);
}

/// Runs `tokens` behind what is cached; their hidden states [tokens, hidden] after the final norm.
Tensor Generator::step(std::span<const int32_t> tokens) {
    Tensor hidden = Tensor::uninitialized({int64_t(tokens.size()), model_.config.hidden_size},
                                          model_.weights.embed_tokens.dtype());
    const auto length = int64_t(tokens_.size());
    const model::CachedSequence sequence = {
        .pages = pages_, .length = length, .query_count = int64_t(tokens.size()), .cached = length};
    model::forward_cached(context_, model_, cache_, id_tensor(tokens), {&sequence, 1}, hidden);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    return hidden;
}

/// Brings the MTP layer's cache behind the main one: rows `hidden` of tokens whose successors are
/// `next_tokens`. `last` receives the module's output [1, hidden] for the last row.
void Generator::follow_with_mtp(const Tensor& hidden, std::span<const int32_t> next_tokens,
                                Tensor& last) {
    const model::CachedSequence sequence = {.pages = pages_,
                                            .length = mtp_length_,
                                            .query_count = int64_t(next_tokens.size()),
                                            .cached = mtp_length_};
    Tensor out = Tensor::uninitialized(hidden.shape(), hidden.dtype());
    model::forward_mtp_cached(context_, model_, cache_, 0, hidden, id_tensor(next_tokens),
                              {&sequence, 1}, out);
    mtp_length_ += sequence.query_count;
    last = out.rows(out.shape()[0] - 1, 1);
}

/// All of the prompt that is not cached; the hidden state [1, hidden] of its last token. The MTP
/// layer follows but for the last position, whose successor is not known yet.
Tensor Generator::prefill(std::span<const int32_t> prompt, bool with_mtp) {
    Tensor last, unused;
    while (tokens_.size() < prompt.size()) {
        const auto begin = int64_t(tokens_.size());
        const int64_t count = std::min(kPrefillChunk, int64_t(prompt.size()) - begin);
        const Tensor hidden = step(prompt.subspan(size_t(begin), size_t(count)));
        last = hidden.rows(count - 1, 1);
        const int64_t known = std::min(count, int64_t(prompt.size()) - 1 - begin);
        if (with_mtp && known > 0) {
            follow_with_mtp(hidden.rows(0, known), prompt.subspan(size_t(begin) + 1, size_t(known)),
                            unused);
        }
    }
    return last;
}

/// Greedy drafts: the module's output predicts one token; fed back with that token as its hidden
/// state, it predicts the next.
std::vector<int32_t> Generator::draft(const Tensor& mtp_last, int64_t count) {
    std::vector<int32_t> drafted;
    const int64_t kept = mtp_length_;
    Tensor hidden = mtp_last;  // [1, hidden]
    Tensor logits = Tensor::uninitialized({1, model_.config.vocab_size}, DType::f32);
    for (int64_t i = 0; i < count; ++i) {
        model::head_logits(context_, model_, hidden, logits);
        const auto row = logits.values<float>().first(size_t(num_ids_));
        drafted.push_back(int32_t(std::max_element(row.begin(), row.end()) - row.begin()));
        if (i + 1 < count) follow_with_mtp(hidden, {&drafted.back(), 1}, hidden);
    }
    mtp_length_ = kept;  // rows of guesses are written again from true hidden states
    return drafted;
}

/// The next tokens from the rows of a step: row i decides after draft i − 1; a choice that is not
/// the draft ends the run.
std::vector<int32_t> Generator::choose(const Tensor& hidden, std::span<const int32_t> drafted,
                                       Sampler& sampler) {
    const int64_t rows = hidden.shape()[0];
    Tensor logits = Tensor::uninitialized({rows, model_.config.vocab_size}, DType::f32);
    model::head_logits(context_, model_, hidden, logits);
    const int64_t first_position =
        int64_t(tokens_.size()) - rows + 1;  // of the token that row 0 decides
    std::vector<int32_t> chosen;
    for (int64_t i = 0; i < rows; ++i) {
        chosen.push_back(
            sampler.sample(logits.row<float>(i).first(size_t(num_ids_)), first_position + i));
        if (i < int64_t(drafted.size()) && chosen.back() != drafted[size_t(i)]) break;
    }
    return chosen;
}

GenerateResult Generator::generate(std::span<const int32_t> prompt,
                                   const GenerateOptions& options) {
    check(prompt, options);
    Sampler sampler(options.sampling);
    const int64_t vocab = model_.config.vocab_size;
    num_ids_ = options.num_ids > 0 ? std::min(options.num_ids, vocab) : vocab;
    const bool speculate = options.draft_tokens > 0;
    const int64_t room = model_.config.max_position_embeddings - int64_t(prompt.size());
    const int64_t budget = std::min(options.max_new_tokens, room);
    reserve(std::min(int64_t(prompt.size()) + budget + options.draft_tokens + 1,
                     model_.config.max_position_embeddings + options.draft_tokens + 1));
    mtp_length_ = reusable_prefix(prompt);
    tokens_.resize(size_t(mtp_length_));

    GenerateResult result;
    result.prefill_tokens = int64_t(prompt.size() - tokens_.size());
    Clock::time_point begin = Clock::now();
    Tensor hidden = prefill(prompt, speculate);  // rows whose successors the next choice gives
    result.prefill_seconds = seconds_since(begin);

    begin = Clock::now();
    std::vector<int32_t> drafted;
    bool running = budget > 0;
    while (running) {
        const std::vector<int32_t> chosen = choose(hidden, drafted, sampler);
        // Rows behind the last right draft were computed from wrong tokens: forget them.
        const size_t wrong = size_t(hidden.shape()[0]) - chosen.size();
        tokens_.resize(tokens_.size() - wrong);
        result.accepted_tokens += int64_t(chosen.size()) - 1;
        for (const int32_t token : chosen) {
            if (std::find(options.stop_ids.begin(), options.stop_ids.end(), token) !=
                options.stop_ids.end()) {
                result.finish_reason = FinishReason::stop;
                running = false;
                break;
            }
            result.tokens.push_back(token);
            const bool wanted = !options.on_token || options.on_token(token);
            if (!wanted) result.finish_reason = FinishReason::stop;
            running = wanted && int64_t(result.tokens.size()) < budget;
            if (!running) break;
        }
        if (!running) break;
        drafted.clear();
        if (speculate) {
            Tensor mtp_last;
            follow_with_mtp(hidden.rows(0, int64_t(chosen.size())), chosen, mtp_last);
            const int64_t left =
                model_.config.max_position_embeddings - int64_t(tokens_.size()) - 1;
            drafted = draft(mtp_last, std::min(options.draft_tokens, left));
            result.draft_tokens += int64_t(drafted.size());
        }
        std::vector<int32_t> next = {chosen.back()};
        next.insert(next.end(), drafted.begin(), drafted.end());
        hidden = step(next);
    }
    result.decode_seconds = seconds_since(begin);
    return result;
}

}  // namespace hadal::infer
