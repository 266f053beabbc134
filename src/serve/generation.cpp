#include "serve/generation.h"

#include <utility>

#include "serve/api_error.h"

namespace hadal::serve {

std::shared_ptr<Generation> Generation::start(EngineLoop& loop, Workers& writer,
                                              const text::Tokenizer& tokenizer,
                                              std::shared_ptr<http::Exchange> exchange,
                                              GenerationTask task) {
    auto generation =
        std::make_shared<Generation>(loop, writer, std::move(exchange), std::move(task));
    generation->submit(tokenizer);
    return generation;
}

Generation::Generation(EngineLoop& loop, Workers& writer, std::shared_ptr<http::Exchange> exchange,
                       GenerationTask task)
    : loop_(loop), writer_(writer), exchange_(std::move(exchange)), task_(std::move(task)) {}

void Generation::submit(const text::Tokenizer& tokenizer) {
    unfinished_ = task_.texts.size();
    for (size_t i = 0; i < task_.texts.size(); ++i) {
        texts_.push_back(
            {.stream = infer::TextStream(tokenizer, task_.stops), .thoughts = task_.thoughts});
        if (task_.thoughts) texts_[i].request = task_.texts[i];
    }
    // The server may keep the exchange for as long as it likes: it must not keep the generation.
    exchange_->on_disconnect([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->cancel();
    });
    try {
        for (size_t i = 0; i < task_.texts.size(); ++i) {
            submit_text(i, std::move(task_.texts[i]), tokenizer);
        }
    } catch (...) {
        cancel();
        throw;
    }
    if (task_.stream) {
        exchange_->begin_stream(
            {.content_type = "text/event-stream",
             .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
    }
    const std::lock_guard lock(mutex_);
    begun_ = true;
    if (cancelled_) {
        for (const infer::RequestId id : ids_) loop_.cancel(id);
    }
    if (!events_.empty()) schedule();
}

void Generation::submit_text(size_t choice, infer::Request request,
                             const text::Tokenizer& tokenizer) {
    request.on_token = [self = shared_from_this(), choice,
                        &tokenizer](const infer::GeneratedToken& token) {
        const bool known = token.id < tokenizer.vocab_size();
        return self->take(choice, token, known && tokenizer.is_special(token.id), tokenizer);
    };
    request.on_finish = [self = shared_from_this(), choice,
                         &tokenizer](const infer::RequestResult& result) {
        if (!self->end_thoughts(choice, result, tokenizer)) self->finish(choice, result);
    };
    const infer::RequestId id = loop_.submit(std::move(request));
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
    if (cancelled_ || !failure_.empty()) loop_.cancel(id);
}

void Generation::cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (const infer::RequestId id : ids_) loop_.cancel(id);
}

void Generation::expire() {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty() || unfinished_ == 0) return;
    failure_ = "the answer took longer than this server allows";
    failure_status_ = 504;
    for (const infer::RequestId id : ids_) loop_.cancel(id);
}

/// On the engine's thread. A control token is the end of what stands before it: no stop string
/// reaches across it.
bool Generation::take(size_t choice, const infer::GeneratedToken& token, bool control,
                      const text::Tokenizer& tokenizer) {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return false;
    auto& stream = texts_[choice].stream;
    Piece piece = {.id = token.id,
                   .tokens = 1,
                   .control = control,
                   .logprob = token.logprob,
                   .top = {token.top.begin(), token.top.end()}};
    if (control) {
        piece.text = stream->finish();
        stream.emplace(tokenizer, task_.stops);
    } else {
        piece.text = stream->push(token.id);
    }
    queue({.choice = choice, .piece = std::move(piece)});
    auto& thoughts = texts_[choice].thoughts;
    const bool thinks_on = !thoughts || thoughts->take(token.id);
    return thinks_on && !stream->stopped();
}

/// On the engine's thread.
bool Generation::end_thoughts(size_t choice, const infer::RequestResult& result,
                              const text::Tokenizer& tokenizer) {
    std::optional<infer::Request> rest;
    int32_t end = -1;
    {
        const std::lock_guard lock(mutex_);
        Text& text = texts_[choice];
        const bool ends = text.thoughts && text.thoughts->reached() && !text.stream->stopped() &&
                          result.finish_reason == infer::FinishReason::stop && !cancelled_ &&
                          failure_.empty();
        if (!ends) return false;
        end = text.thoughts->end();
        rest = behind_thoughts(std::move(text.request), result, end);
        text.thoughts.reset();  // once is enough
        if (!rest) return false;
        text.thought = result;
    }
    take(choice, {.id = end}, tokenizer.is_special(end), tokenizer);
    try {
        submit_text(choice, std::move(*rest), tokenizer);
    } catch (const std::exception&) {  // the server is ending: the text ends with its thoughts
        finish(choice, {});
    }
    return true;
}

void Generation::finish(size_t choice, const infer::RequestResult& result) {
    const std::lock_guard lock(mutex_);
    Text& text = texts_[choice];
    text.result = text.thought ? joined(*text.thought, task_.thoughts->end(), result) : result;
    if (result.finish_reason == infer::FinishReason::error && failure_.empty()) {
        failure_ = result.error;
        for (const infer::RequestId id : ids_) loop_.cancel(id);
    }
    queue({.choice = choice,
           .piece = {.text = text.stream->finish()},
           .finishes = true,
           .stop = text.stream->stop()});
    --unfinished_;
}

/// With the lock held.
void Generation::queue(Event event) {
    const auto is_plain = [](const Event& one) {
        return !one.finishes && !one.piece.control && one.piece.top.empty() &&
               one.piece.logprob == 0;
    };
    if (reader_is_slow_ && !events_.empty() && events_.back().choice == event.choice &&
        is_plain(event) && is_plain(events_.back())) {
        events_.back().piece.text += event.piece.text;
        events_.back().piece.tokens += event.piece.tokens;
    } else {
        events_.push_back(std::move(event));
    }
    if (begun_) schedule();
}

/// With the lock held.
void Generation::schedule() {
    if (std::exchange(scheduled_, true)) return;
    writer_.post([self = shared_from_this()] { self->deliver(); });
}

/// On the writer's thread.
void Generation::deliver() {
    std::vector<Event> events;
    bool is_over = false;
    {
        const std::lock_guard lock(mutex_);
        scheduled_ = false;
        is_over = unfinished_ == 0;
        // The last event always comes, and then all of it is sent.
        reader_is_slow_ = task_.stream && exchange_->unsent_bytes() > kUnsentBytes;
        if (over_ || (reader_is_slow_ && !is_over)) return;
        events.swap(events_);
    }
    try {
        write(events, is_over);
    } catch (const std::exception& error) {
        cancel();
        fail(as_api_error(error));
    }
}

void Generation::write(const std::vector<Event>& events, bool is_over) {
    std::string failure;
    int status = 500;
    {
        const std::lock_guard lock(mutex_);
        failure = failure_;
        status = failure_status_;
    }
    std::string out;
    for (const Event& event : events) {
        if (!failure.empty()) break;
        out += task_.answer->piece(event.choice, event.piece);
        if (event.finishes) {
            out += task_.answer->finished(event.choice, {texts_[event.choice].result, event.stop});
        }
    }
    if (is_over && !failure.empty()) return fail({status, failure});
    if (is_over) out += task_.answer->end();
    if (task_.stream && !out.empty()) {
        exchange_->write(std::move(out));
        quiet_ = false;
    } else if (is_over && begun_whole_) {
        exchange_->write(std::move(out));
    } else if (is_over) {
        exchange_->send({.body = std::move(out)});
    }
    if (!is_over) return;
    over_ = true;
    if (task_.stream || begun_whole_) exchange_->finish();
}

void Generation::fail(const ApiError& error) {
    if (std::exchange(over_, true)) return;
    if (task_.stream) {
        exchange_->write(task_.answer->failure(error));
        exchange_->finish();
    } else if (begun_whole_) {
        exchange_->write(task_.answer->error(error));
        exchange_->finish();
    } else {
        exchange_->send({.status = error.status(), .body = task_.answer->error(error)});
    }
}

void Generation::keep_alive(std::chrono::milliseconds patience) {
    writer_.post([self = shared_from_this(), patience] {
        if (self->over_) return;
        if (!self->task_.stream) return self->keep_whole_alive(patience);
        if (self->quiet_) self->exchange_->write(": keep-alive\n\n");
        self->quiet_ = true;
    });
}

/// White space before JSON means nothing, and no proxy on the way takes the connection for dead.
void Generation::keep_whole_alive(std::chrono::milliseconds patience) {
    if (std::chrono::steady_clock::now() - started_ < patience) return;
    if (!std::exchange(begun_whole_, true)) {
        exchange_->begin_stream({.content_type = "application/json"});
    }
    exchange_->write("\n");
}

}  // namespace hadal::serve
