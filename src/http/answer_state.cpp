#include "http/answer_state.h"

#include <utility>

namespace hadal::http {

AnswerState::AnswerState(Form form, std::string request_id, std::function<void()> wake)
    : form_(form), request_id_(std::move(request_id)), wake_(std::move(wake)) {}

void AnswerState::append(std::string bytes) {
    if (gone_) return;
    if (pending_.empty()) {
        pending_ = std::move(bytes);
    } else {
        pending_ += bytes;
    }
}

void AnswerState::send(Response response) {
    {
        const std::lock_guard lock(mutex_);
        if (begun_) return;
        begun_ = ended_ = true;
        status_ = response.status;
        if (!form_.head) body_bytes_ = response.body.size();
        append(head_text(response, Framing::length, form_.keep_alive, request_id_));
        if (!form_.head) append(std::move(response.body));
    }
    wake_();
}

void AnswerState::begin_stream(Response head) {
    {
        const std::lock_guard lock(mutex_);
        if (begun_) return;
        begun_ = true;
        status_ = head.status;
        framing_ = form_.chunks ? Framing::chunked : Framing::until_close;
        append(head_text(head, framing_, keep_alive_locked(), request_id_));
    }
    wake_();
}

void AnswerState::write(std::string bytes) {
    {
        const std::lock_guard lock(mutex_);
        if (!begun_ || ended_ || bytes.empty()) return;
        body_bytes_ += bytes.size();
        if (form_.head) return;
        append(framing_ == Framing::chunked ? chunk_text(bytes) : std::move(bytes));
    }
    wake_();
}

void AnswerState::finish() {
    {
        const std::lock_guard lock(mutex_);
        if (!begun_ || ended_) return;
        ended_ = true;
        if (framing_ == Framing::chunked && !form_.head) append(std::string(kLastChunk));
    }
    wake_();
}

size_t AnswerState::unsent_bytes() const {
    const std::lock_guard lock(mutex_);
    return pending_.size() + in_flight_;
}

void AnswerState::on_disconnect(std::function<void()> handler) {
    {
        const std::lock_guard lock(mutex_);
        if (!gone_) {
            if (!ended_) on_gone_ = std::move(handler);
            return;
        }
    }
    handler();
}

void AnswerState::abandon(const std::function<std::string(int, std::string_view)>& error_body) {
    {
        const std::lock_guard lock(mutex_);
        if (ended_ || gone_) return;
        if (begun_) ended_ = cut_ = true;  // a cut stream cannot be taken for a whole one
    }
    send({.status = 500, .body = error_body(500, "the request was dropped without an answer")});
    wake_();
}

std::string AnswerState::take() {
    const std::lock_guard lock(mutex_);
    in_flight_ += pending_.size();
    return std::exchange(pending_, {});
}

void AnswerState::taken(size_t bytes) {
    const std::lock_guard lock(mutex_);
    in_flight_ -= bytes;
}

bool AnswerState::is_over() const {
    const std::lock_guard lock(mutex_);
    return ended_ && pending_.empty() && in_flight_ == 0;
}

bool AnswerState::keep_alive_locked() const {
    return form_.keep_alive && framing_ != Framing::until_close && !cut_;
}

bool AnswerState::keep_alive() const {
    const std::lock_guard lock(mutex_);
    return keep_alive_locked();
}

void AnswerState::disconnect() {
    std::function<void()> tell;
    {
        const std::lock_guard lock(mutex_);
        if (gone_) return;
        gone_ = true;
        // What a socket's buffer holds may have arrived before the client left: its leaving is seen
        // before the end of our writing.
        constexpr size_t kSocketBytes = 16 << 10;
        lost_ = !ended_ || !pending_.empty() || in_flight_ > kSocketBytes;
        pending_.clear();
        if (!ended_) tell = std::exchange(on_gone_, nullptr);
    }
    if (tell) tell();
}

Outcome AnswerState::outcome() const {
    const std::lock_guard lock(mutex_);
    return {.status = status_,
            .body_bytes = body_bytes_,
            .time = std::chrono::steady_clock::now() - begin_,
            .disconnected = lost_};
}

}  // namespace hadal::http
