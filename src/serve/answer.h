// What a format of the API makes of texts as they are generated. One answer belongs to one HTTP
// request and may hold several texts; it is used by one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "infer/request.h"
#include "serve/api_error.h"

namespace hadal::serve {

/// What a token adds to a text.
struct Piece {
    std::string text = {};  // as far as it is sure: whole characters, nothing of a stop string
    int32_t id = -1;        // −1: not a token, but what had been held back
    int64_t tokens = 0;     // that it stands for
    bool control = false;   // a special token: no text, but formats may read it
    float logprob = 0;      // if asked for, with the most probable ones
    std::vector<infer::TokenLogprob> top = {};
};

struct TextEnd {
    const infer::RequestResult& result;
    std::string stop = {};  // the stop string that ended it
};

class Answer {
  public:
    virtual ~Answer() = default;

    // Each returns the events that a stream sends now; for a whole answer they return nothing.

    virtual std::string piece(size_t choice, const Piece& piece) = 0;
    /// Its last call for this choice.
    virtual std::string finished(size_t choice, const TextEnd& end) = 0;
    /// The stream's last events; of a whole answer its body.
    virtual std::string end() = 0;
    /// The body of an answer that failed before anything of it was sent …
    virtual std::string error(const ApiError& error) const;
    /// … and the last events of a stream that failed in its middle.
    virtual std::string failure(const ApiError& error) const;
};

/// A server-sent event.
std::string event(const std::string& data);
/// OpenAI's name for how a text ended.
std::string finish_reason(infer::FinishReason reason);

/// Ids and times that all chunks of an answer share.
struct AnswerHead {
    std::string id;       // "chatcmpl-…"
    int64_t created = 0;  // seconds since 1970
    std::string model;
    bool stream = false;
    bool include_usage = false;
    enum class Form { openai, anthropic } form = Form::openai;
};

}  // namespace hadal::serve
