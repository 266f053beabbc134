#include "infer/engine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "infer/prompt_lookup.h"
#include "ops/cross_entropy.h"

namespace hadal::infer {

namespace {

// Rows whose logits exist at one time: 33 MB of V3's vocabulary.
constexpr int64_t kLogitRows = 64;
constexpr int32_t kNoToken = -1;
// Expanded attention pays for making keys and values from some 170 rows a step on, docs/mla.md.
constexpr int64_t kLongPrompt = 2048, kExpandedBlock = 512;
static_assert(kExpandedBlock % kPageTokens == 0);

DType cache_dtype(const model::Model& model, bool fp8_cache) {
    return fp8_cache ? DType::f8_e4m3 : model.weights.embed_tokens.dtype();
}

SchedulerOptions scheduler_options(const model::Model& model, const EngineOptions& options) {
    const auto refuse = [](const std::string& what) { throw Error(Error::Kind::usage, what); };
    const int64_t bytes = cache_page_bytes(model, options.fp8_cache);
    if (options.fp8_cache && options.attention == AttentionForms::expanded) {
        refuse("a cache in FP8 cannot keep what --attention expanded promises, the bits of score");
    }
    if (options.fp8_cache && model.weights.embed_tokens.dtype() != DType::bf16) {
        refuse("a cache in FP8 needs a model that computes in bf16");
    }
    if (options.cache_bytes < bytes) {
        refuse(concat("a cache of ", options.cache_bytes, " bytes holds no page of ", kPageTokens,
                      " tokens (give at least ", bytes, ")"));
    }
    if (options.draft_tokens < 0) refuse("the number of draft tokens must be at least 0");
    const bool by_mtp = options.draft_tokens > 0 && options.draft_source == DraftSource::mtp;
    if (by_mtp && model.config.num_nextn_predict_layers == 0) {
        refuse("the model has no MTP module to speculate with (use --speculate off)");
    }
    if (options.max_sequences < 1) refuse("at least one sequence must be allowed to run");
    return {.pages = options.cache_bytes / bytes,
            .max_sequences = options.max_sequences,
            .max_step_tokens = std::max(options.max_step_tokens, 2 * options.max_sequences),
            .lookahead = by_mtp ? options.draft_tokens : 0,
            .share_prefixes = options.share_prefixes};
}

double seconds(std::chrono::steady_clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

/// The bits of those ids that are below `count`.
void set_bits(std::span<uint64_t> bits, size_t count, std::span<const int32_t> ids, bool value) {
    for (const int32_t id : ids) {
        if (size_t(id) >= count) continue;
        const uint64_t bit = uint64_t(1) << id % 64;
        uint64_t& word = bits[size_t(id / 64)];
        word = value ? word | bit : word & ~bit;
    }
}

/// A bit for each of `count` ids.
std::vector<uint64_t> all_bits(size_t count) {
    std::vector<uint64_t> bits((count + 63) / 64, ~uint64_t(0));
    if (count % 64 != 0) bits.back() = (uint64_t(1) << count % 64) - 1;
    return bits;
}

}  // namespace

int64_t cache_page_bytes(const model::Model& model, bool fp8_cache) {
    const auto& config = model.config;
    return kPageTokens * model::latent_bytes(config, cache_dtype(model, fp8_cache)) *
           (config.num_hidden_layers + config.num_nextn_predict_layers);
}

int64_t expanded_positions(AttentionForms forms, int64_t prompt_tokens) {
    switch (forms) {
        case AttentionForms::absorbed:
            return 0;
        case AttentionForms::long_prompts:
            // The last two rows are computed again when all else is cached: they stay cheap.
            return prompt_tokens < kLongPrompt
                       ? 0
                       : (prompt_tokens - 2) / kExpandedBlock * kExpandedBlock;
        case AttentionForms::expanded:
            return std::numeric_limits<int64_t>::max();
    }
    return 0;
}

int64_t most_positions(const model::Model& model) {
    return std::min(model.config.max_position_embeddings, model.cos_sin.shape()[0]);
}

/// A request while the engine has it.
struct Engine::Active {
    explicit Active(Request asked) : request(std::move(asked)), sampler(request.sampling) {
        sampler.begin(request.prompt);
        if (request.grammar != nullptr) grammar_position = request.grammar->start();
    }

    Request request;
    Sampler sampler;
    Sequence sequence;
    RequestResult result;
    bool finished = false;
    grammar::Position grammar_position = 0;
    bool grammar_waits = request.grammar_after.has_value();
    std::string failure;  // why no token could be chosen
    bool has_bad_numbers = false;
    PromptLookup lookup;

    // Of the step that runs.
    std::vector<int32_t> chosen;
    int64_t last_row = 0;         // position of the last row that is true
    int64_t first_logit_row = 0;  // in the block of logits

    Clock::time_point submitted = Clock::now();
    Clock::time_point started = {};
    Clock::time_point first_token = {};

    int64_t prompt_tokens() const {
        return int64_t(request.prompt.size());
    }
    /// Whether only the last token's row is missing, so that the next step decides another.
    bool wants_guesses() const {
        return !finished && request.speculate && last_row == int64_t(sequence.tokens.size()) - 2;
    }
    /// Guesses that could still become tokens.
    int64_t room() const {
        return std::max<int64_t>(sequence.most_tokens - int64_t(sequence.tokens.size()) - 1, 0);
    }
    /// Whether the token at this index of the sequence may end the text.
    bool may_stop(int64_t position) const {
        return position - prompt_tokens() >= request.min_new_tokens;
    }
    /// So that no step makes the lists grow.
    void reserve_tokens() {
        sequence.tokens.reserve(size_t(sequence.most_tokens));
        result.tokens.reserve(size_t(sequence.most_tokens - prompt_tokens()));
    }
    bool grammar_is_finished() const {
        return !finished && request.grammar != nullptr && !grammar_waits &&
               request.grammar->must_end(grammar_position);
    }
    void end(FinishReason reason) {
        finished = true;
        result.finish_reason = reason;
    }
};

Engine::Engine(Context& context, const model::Model& model, const EngineOptions& options)
    : context_(context),
      model_(model),
      options_(options),
      scheduler_(scheduler_options(model, options)),
      runner_(context, model,
              {.pages = scheduler_.pool().size(),
               .max_rows = scheduler_.max_step_tokens(),
               .dtype = cache_dtype(model, options.fp8_cache)}),
      planner_(options.draft_tokens) {}

Engine::~Engine() = default;

void Engine::check(const Request& request) const {
    const auto refuse = [](const std::string& what) { throw Error(Error::Kind::bad_input, what); };
    const auto& config = model_.config;
    const auto length = int64_t(request.prompt.size());
    const Sampler checks_its_options(request.sampling);
    if (length == 0) {
        refuse("the prompt holds no token (give some text, or a model with a BOS token)");
    }
    for (const int32_t id : request.prompt) {
        if (id < 0 || id >= config.vocab_size) {
            refuse(concat("token id ", id, " is outside the vocabulary of ", config.vocab_size));
        }
    }
    if (length >= most_positions(model_)) {
        refuse(concat("the prompt has ", length, " tokens, the model takes ",
                      most_positions(model_), " (shorten it)"));
    }
    const int64_t most = std::min(length + request.max_new_tokens, most_positions(model_));
    if (!scheduler_.fits(most)) {
        refuse(concat("a prompt of ", length, " tokens and up to ", most - length,
                      " new ones do not fit the cache of ", scheduler_.pool().size() * kPageTokens,
                      " (ask for fewer, or give the engine a larger cache)"));
    }
}

int64_t Engine::most_tokens() const {
    return std::min(scheduler_.most_tokens(), most_positions(model_));
}

RequestId Engine::submit(Request request) {
    check(request);
    auto active = std::make_unique<Active>(std::move(request));
    const auto& config = model_.config;
    Request& asked = active->request;
    if (asked.num_ids <= 0 || asked.num_ids > config.vocab_size) asked.num_ids = config.vocab_size;
    Sequence& sequence = active->sequence;
    sequence.priority = asked.priority;
    sequence.domain = asked.domain;
    sequence.reuse_prefix = !asked.prompt_logprobs;
    sequence.tokens = asked.prompt;
    sequence.expanded = expanded_positions(options_.attention, active->prompt_tokens());
    sequence.most_tokens =
        std::min(active->prompt_tokens() + asked.max_new_tokens, most_positions(model_));
    active->result.prompt_tokens = active->prompt_tokens();
    const std::lock_guard lock(mutex_);
    const RequestId id = sequence.id = ++last_id_;
    submitted_.push_back(std::move(active));
    noted_.notify_one();
    return id;
}

void Engine::cancel(RequestId id) {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
    noted_.notify_one();
}

bool Engine::wait(std::chrono::milliseconds at_most) {
    if (!active_.empty()) return true;
    std::unique_lock lock(mutex_);
    return noted_.wait_for(lock, at_most,
                           [this] { return !submitted_.empty() || !cancelled_.empty(); });
}

/// Reads what other threads left. Handlers are called without the lock, so they may leave more.
void Engine::take_notes() {
    std::vector<std::unique_ptr<Active>> submitted;
    std::vector<RequestId> cancelled;
    {
        const std::lock_guard lock(mutex_);
        submitted.swap(submitted_);
        cancelled.swap(cancelled_);
    }
    for (auto& active : submitted) {
        totals_.prompt_tokens += active->prompt_tokens();
        Sequence& sequence = active->sequence;
        active_.emplace(sequence.id, std::move(active));
        scheduler_.add(sequence);
    }
    for (const RequestId id : cancelled) {
        const auto found = active_.find(id);
        if (found == active_.end()) continue;
        found->second->result.finish_reason = FinishReason::cancelled;
        finish(*found->second);
    }
}

Engine::Active& Engine::of(const Run& run) {
    return *active_.at(run.sequence->id);
}

bool Engine::step() {
    take_notes();
    const Step& step = scheduler_.next();
    totals_.preemptions += step.preempted;
    if (step.runs.empty()) return !active_.empty();
    const auto now = Clock::now();
    for (const Run& run : step.runs) {
        Active& active = of(run);
        if (active.started == Clock::time_point()) {
            active.started = now;
            active.reserve_tokens();
            active.result.reused_tokens = run.sequence->reused;
            totals_.reused_tokens += run.sequence->reused;
        }
    }
    ++totals_.steps;
    totals_.step_tokens += step.tokens();
    const bool is_generation = std::ranges::all_of(step.runs, [](const Run& run) {
        return run.begin + 1 == int64_t(run.sequence->tokens.size());
    });
    const int64_t rows = step.tokens();
    runner_.forward(step);
    score_prompts(step);
    decide(step);
    if (options_.draft_tokens > 0) {
        options_.draft_source == DraftSource::mtp ? follow_and_draft(step) : look_up(step);
        if (is_generation) planner_.observe_step(rows, seconds(Clock::now() - now));
    }
    settle(step);
    return true;
}

/// Log-probabilities of the prompt's tokens in the step, each from the row before it.
void Engine::score_prompts(const Step& step) {
    for (size_t i = 0; i < step.runs.size(); ++i) {
        Active& active = of(step.runs[i]);
        if (active.request.prompt_logprobs) {
            score_prompt(active, step.runs[i], runner_.first_row(i));
        }
    }
}

void Engine::score_prompt(Active& active, const Run& run, int64_t first_row) {
    // Rows that were scored before a preemption are not scored again.
    const auto scored = int64_t(active.result.prompt_logprobs.size());
    const int64_t end = std::min(run.begin + run.count, active.prompt_tokens() - 1);
    for (int64_t begin = std::max(run.begin, scored); begin < end; begin += kLogitRows) {
        const int64_t count = std::min(kLogitRows, end - begin);
        std::vector<int64_t> rows;
        for (int64_t i = begin; i < begin + count; ++i) rows.push_back(first_row + i - run.begin);
        const Tensor logits = runner_.logits(rows);
        const Workspace::Scope scope(context_.workspace);
        Tensor targets = context_.workspace.take({count}, DType::i32);
        std::ranges::copy(
            std::span(active.request.prompt).subspan(size_t(begin + 1), size_t(count)),
            targets.values<int32_t>().begin());
        Tensor losses = context_.workspace.take({count}, DType::f32), no_gradient;
        ops::cross_entropy(context_, logits, targets, 1, losses, no_gradient);
        for (int64_t i = 0; i < count; ++i) {
            const float logprob = -losses.values<float>()[size_t(i)];
            active.result.prompt_logprobs.push_back(logprob);
            if (active.request.top_logprobs == 0) continue;
            active.result.prompt_top.push_back(
                top_logprobs(logits.row<float>(i), {targets.values<int32_t>()[size_t(i)], logprob},
                             active.request.top_logprobs, active.request.num_ids));
        }
    }
}

/// Guesses for each of the sequences that may go on after this step.
int64_t Engine::guesses_for(const Step& step) {
    const auto sequences =
        std::ranges::count_if(step.runs, [&](const Run& run) { return of(run).wants_guesses(); });
    if (sequences == 0) return 0;
    return options_.adaptive_drafts ? planner_.choose(sequences) : options_.draft_tokens;
}

/// Guesses from the sequences' own texts.
void Engine::look_up(const Step& step) {
    const int64_t guesses = guesses_for(step);
    for (const Run& run : step.runs) {
        Active& active = of(run);
        const auto known = int64_t(run.sequence->tokens.size());
        const bool goes_on = run.begin <= known - 2 && active.last_row == known - 2;
        if (!goes_on || active.finished || !active.request.speculate) continue;
        const int64_t room = run.sequence->most_tokens - known - 1;
        run.sequence->drafts =
            active.lookup.guess(run.sequence->tokens, std::clamp<int64_t>(room, 0, guesses));
    }
}

/// Chooses the next tokens of all runs that reach their sequence's end, a block of logits at a
/// time.
void Engine::decide(const Step& step) {
    for (const Run& run : step.runs) of(run).last_row = run.begin + run.count - 1;
    size_t first = 0;
    int64_t rows = 0;
    for (size_t i = 0; i < step.runs.size(); ++i) {
        const int64_t more = 1 + int64_t(step.runs[i].sequence->drafts.size());
        if (rows + more > kLogitRows && rows > 0) {
            decide_block(step, first, i);
            first = i;
            rows = 0;
        }
        rows += step.runs[i].decides() ? more : 0;
    }
    decide_block(step, first, step.runs.size());
}

void Engine::decide_block(const Step& step, size_t first, size_t end) {
    const Workspace::Scope scope(context_.workspace);
    std::pmr::vector<int64_t> rows(&context_.workspace);
    std::pmr::vector<const Run*> runs(&context_.workspace);
    bool logprobs = false;
    for (size_t i = first; i < end; ++i) {
        const Run& run = step.runs[i];
        if (!run.decides()) continue;
        Active& active = of(run);
        active.first_logit_row = int64_t(rows.size());
        logprobs = logprobs || active.request.logprobs;
        const int64_t deciding = 1 + int64_t(run.sequence->drafts.size());
        for (int64_t row = run.count - deciding; row < run.count; ++row) {
            rows.push_back(runner_.first_row(i) + row);
        }
        runs.push_back(&run);
    }
    if (runs.empty()) return;
    const Tensor logits = runner_.logits(rows);
    context_.threads.parallel_for(int64_t(runs.size()), [&](int64_t i) {
        choose(of(*runs[size_t(i)]), *runs[size_t(i)], logits);
    });
    Tensor losses;
    if (logprobs) {
        Tensor targets = context_.workspace.take({int64_t(rows.size())}, DType::i32);
        std::ranges::fill(targets.values<int32_t>(), -1);
        for (const Run* run : runs) {
            const Active& active = of(*run);
            std::ranges::copy(active.chosen, targets.data_as<int32_t>() + active.first_logit_row);
        }
        losses = context_.workspace.take({int64_t(rows.size())}, DType::f32);
        Tensor no_gradient;
        ops::cross_entropy(context_, logits, targets, 1, losses, no_gradient);
    }
    for (const Run* run : runs) {
        Active& active = of(*run);
        const auto values = logprobs ? losses.values<float>() : std::span<float>();
        report(active, logits, values);
    }
}

void Engine::fail_for_numbers(Active& active) {
    active.failure = "the model's output is not a number (check the weights)";
    active.has_bad_numbers = true;
}

/// A token that does not end the text, unless every one does.
int32_t Engine::sample_no_stop(Active& active, std::span<const float> logits, int64_t position) {
    std::vector<uint64_t> allowed = all_bits(logits.size());
    set_bits(allowed, logits.size(), active.request.stop_ids, false);
    if (std::ranges::all_of(allowed, [](uint64_t word) { return word == 0; })) {
        return active.sampler.sample(logits, position);
    }
    return active.sampler.sample(logits, position, allowed);
}

int32_t Engine::sample_by_grammar(Active& active, std::span<const float> logits, int64_t position) {
    grammar::TokenMasks& masks = *active.request.grammar;
    if (masks.must_end(active.grammar_position)) return kNoToken;
    std::vector<uint64_t> allowed = *masks.mask(active.grammar_position);
    allowed.resize((logits.size() + 63) / 64);
    if (logits.size() % 64 != 0) allowed.back() &= (uint64_t(1) << logits.size() % 64) - 1;
    const auto& stops = active.request.stop_ids;
    const bool may_end = masks.may_end(active.grammar_position);
    set_bits(allowed, logits.size(), stops, may_end && active.may_stop(position));
    if (std::ranges::all_of(allowed, [](uint64_t word) { return word == 0; })) {
        if (!may_end) active.failure = "no token of the model can continue the grammar";
        return kNoToken;
    }
    const int32_t token = active.sampler.sample(logits, position, allowed);
    if (token < 0) fail_for_numbers(active);
    if (token < 0 || std::ranges::find(stops, token) != stops.end()) return token;
    active.sampler.accept(token);
    active.grammar_position = masks.next_token(active.grammar_position, token);
    HADAL_ASSERT(active.grammar_position != grammar::kDead);
    return token;
}

/// Row i decides after draft i − 1; a choice that is not the draft ends the run.
void Engine::choose(Active& active, const Run& run, const Tensor& logits) {
    const std::vector<int32_t>& drafts = run.sequence->drafts;
    const auto known = int64_t(run.sequence->tokens.size());
    active.chosen.clear();
    for (size_t i = 0; i <= drafts.size(); ++i) {
        const auto row = logits.row<float>(active.first_logit_row + int64_t(i))
                             .first(size_t(active.request.num_ids));
        const int32_t token = sample(active, row, known + int64_t(i));
        active.chosen.push_back(token);
        if (token < 0 || i == drafts.size() || token != drafts[i]) break;
    }
}

/// One token and what follows from it for the next; below 0 the request has failed or, with a
/// grammar, is finished.
int32_t Engine::sample(Active& active, std::span<const float> logits, int64_t position) {
    if (active.request.grammar == nullptr || active.grammar_waits) {
        const int32_t token = active.may_stop(position) ? active.sampler.sample(logits, position)
                                                        : sample_no_stop(active, logits, position);
        if (token < 0) fail_for_numbers(active);
        if (token >= 0) active.sampler.accept(token);
        if (token == active.request.grammar_after) active.grammar_waits = false;
        return token;
    }
    try {
        return sample_by_grammar(active, logits, position);
    } catch (const Error& error) {
        active.failure = error.what();
        return kNoToken;
    }
}

/// Takes the chosen tokens into the sequence, up to the one that ends it.
void Engine::report(Active& active, const Tensor& logits, std::span<const float> logprobs) {
    const auto drafts = int64_t(active.sequence.drafts.size());
    active.sequence.drafts.clear();
    active.result.draft_tokens += drafts;
    totals_.draft_tokens += drafts;
    active.last_row = int64_t(active.sequence.tokens.size()) - 1;
    if (drafts > 0) planner_.observe_guesses(drafts, int64_t(active.chosen.size()) - 1);
    for (size_t i = 0; i < active.chosen.size() && !active.finished; ++i) {
        if (active.chosen[i] == kNoToken) {
            active.end(active.failure.empty() ? FinishReason::stop : FinishReason::error);
            active.result.error = active.failure;
            return;
        }
        if (i > 0) {  // the row that chose it was a draft's
            ++active.last_row;
            ++active.result.accepted_tokens;
            ++totals_.accepted_tokens;
        }
        GeneratedToken generated = {.id = active.chosen[i]};
        std::vector<TokenLogprob> top;
        if (active.request.logprobs) {
            const int64_t row = active.first_logit_row + int64_t(i);
            generated.logprob = -logprobs[size_t(row)];
            top = top_logprobs(logits.row<float>(row), {generated.id, generated.logprob},
                               active.request.top_logprobs, active.request.num_ids);
            generated.top = top;
        }
        append(active, generated);
        if (i + 1 == active.chosen.size() && active.grammar_is_finished()) {
            active.end(FinishReason::stop);
        }
    }
}

/// One token more, and the handler's call.
void Engine::append(Active& active, const GeneratedToken& token) {
    Sequence& sequence = active.sequence;
    const auto& request = active.request;
    const auto is_full = [&] { return int64_t(sequence.tokens.size()) >= sequence.most_tokens; };
    if (is_full()) return active.end(FinishReason::length);  // max_new_tokens is 0
    if (std::ranges::find(request.stop_ids, token.id) != request.stop_ids.end()) {
        return active.end(FinishReason::stop);
    }
    if (active.result.tokens.empty()) active.first_token = Clock::now();
    sequence.tokens.push_back(token.id);
    active.result.tokens.push_back(token.id);
    ++totals_.generated_tokens;
    try {
        if (request.on_token && !request.on_token(token)) return active.end(FinishReason::stop);
    } catch (const std::exception& error) {
        active.result.error = error.what();
        return active.end(FinishReason::error);
    }
    if (is_full()) active.end(FinishReason::length);
}

/// The MTP module takes the step's true rows, then guesses what follows the runs that go on.
void Engine::follow_and_draft(const Step& step) {
    std::vector<int64_t> counts;
    std::vector<ModelRunner::DraftWish> wishes;
    const int64_t guesses = guesses_for(step);
    for (size_t i = 0; i < step.runs.size(); ++i) {
        const Run& run = step.runs[i];
        const Active& active = of(run);
        const auto known = int64_t(run.sequence->tokens.size());
        const int64_t count = std::min(active.last_row, known - 2) - run.begin + 1;
        counts.push_back(std::max<int64_t>(count, 0));
        if (counts[i] == 0 || !active.wants_guesses()) continue;
        wishes.push_back({.run = i,
                          .count = std::min(active.room(), guesses),
                          .num_ids = active.request.num_ids});
    }
    runner_.follow(step, counts);
    runner_.draft(step, std::move(wishes));
}

void Engine::settle(const Step& step) {
    for (size_t i = 0; i < step.runs.size();) {
        const Run run = step.runs[i];
        Active& active = of(run);
        scheduler_.advance(*run.sequence, std::max(run.sequence->cached, active.last_row + 1));
        if (active.finished) {
            finish(active);  // takes its run out of the step
        } else {
            ++i;
        }
    }
}

void Engine::finish(Active& active) {
    const auto now = Clock::now();
    RequestResult& result = active.result;
    const bool has_started = active.started != Clock::time_point();
    const bool has_token = active.first_token != Clock::time_point();
    result.queue_seconds = seconds((has_started ? active.started : now) - active.submitted);
    if (has_started) {
        result.prefill_seconds = seconds((has_token ? active.first_token : now) - active.started);
    }
    if (has_token) result.decode_seconds = seconds(now - active.first_token);
    scheduler_.remove(active.sequence);
    // Attention masks with a weight of zero, and zero times no number is none: rows before the one
    // that failed may be spoilt too, and must not become anybody's prefix.
    if (active.has_bad_numbers) scheduler_.clear_prefixes();
    const auto node = active_.extract(active.sequence.id);
    if (active.request.on_finish) active.request.on_finish(result);
}

EngineStats Engine::stats() const {
    EngineStats stats = totals_;
    stats.running = scheduler_.running();
    stats.waiting = scheduler_.waiting();
    stats.pages = scheduler_.pool().size();
    stats.free_pages = scheduler_.pool().free_pages();
    stats.idle_pages = scheduler_.pool().idle_pages();
    return stats;
}

}  // namespace hadal::infer
