// The texts of one HTTP request on their way from the engine to the client.
//
// The engine's thread turns tokens into text and puts the pieces into a queue; the writer's thread
// makes JSON of them and hands it to the server. Where a client reads slowly, pieces stay in the
// queue and become one, and nobody else notices.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http/exchange.h"
#include "infer/text_stream.h"
#include "serve/answer.h"
#include "serve/engine_loop.h"
#include "serve/thought_limit.h"
#include "serve/workers.h"

namespace hadal::serve {

/// A request as it is ready for the engine.
struct GenerationTask {
    std::vector<infer::Request> texts = {};  // without handlers, one for each choice
    std::vector<std::string> stops;
    std::unique_ptr<Answer> answer = nullptr;
    bool stream = false;
    std::optional<ThoughtLimit> thoughts = {};  // of each text
};

class Generation : public std::enable_shared_from_this<Generation> {
  public:
    /// Sends the answer when it comes. What is wrong with the request is thrown before anything is
    /// sent. The loop, the writer and the tokenizer must outlive the generation, which lives as
    /// long as the engine works on it; a client that goes away ends it.
    static std::shared_ptr<Generation> start(EngineLoop& loop, Workers& writer,
                                             const text::Tokenizer& tokenizer,
                                             std::shared_ptr<http::Exchange> exchange,
                                             GenerationTask task);

    Generation(EngineLoop& loop, Workers& writer, std::shared_ptr<http::Exchange> exchange,
               GenerationTask task);

    /// Ends all of its texts before the engine's next step.
    void cancel();
    /// The same because it took too long: the client hears 504, or an error in its stream.
    void expire();
    /// A comment in a stream that had nothing to say for a while; an empty line before a whole
    /// answer that takes longer than `patience`. Its status is 200 from then on, whatever comes.
    void keep_alive(std::chrono::milliseconds patience);
    std::chrono::steady_clock::time_point started() const {
        return started_;
    }

    static constexpr size_t kUnsentBytes = 64 << 10;  // above it a reader is slow

  private:
    struct Text {
        std::optional<infer::TextStream> stream;  // of its text since the last control token
        infer::RequestResult result = {};
        std::optional<ThoughtLimit> thoughts = {};
        infer::Request request = {};  // again, where thoughts may have to be ended
        /// Of the thoughts that were ended, the end's mark not among them.
        std::optional<infer::RequestResult> thought = {};
    };
    struct Event {
        size_t choice;
        Piece piece;
        bool finishes = false;
        std::string stop = {};
    };

    void submit(const text::Tokenizer& tokenizer);
    bool take(size_t choice, const infer::GeneratedToken& token, bool control,
              const text::Tokenizer& tokenizer);
    void submit_text(size_t choice, infer::Request request, const text::Tokenizer& tokenizer);
    /// True if the text goes on behind thoughts that were long enough.
    bool end_thoughts(size_t choice, const infer::RequestResult& result,
                      const text::Tokenizer& tokenizer);
    void finish(size_t choice, const infer::RequestResult& result);
    void queue(Event event);
    void schedule();
    void deliver();
    void write(const std::vector<Event>& events, bool is_over);
    void fail(const ApiError& error);
    void keep_whole_alive(std::chrono::milliseconds patience);

    EngineLoop& loop_;
    Workers& writer_;
    std::shared_ptr<http::Exchange> exchange_;
    GenerationTask task_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

    std::mutex mutex_;  // guards what follows
    std::vector<Text> texts_;
    std::vector<infer::RequestId> ids_;
    std::vector<Event> events_;
    size_t unfinished_ = 0;
    bool begun_ = false;      // all texts are submitted
    bool scheduled_ = false;  // deliver() will run
    bool cancelled_ = false;
    bool reader_is_slow_ = false;
    std::string failure_;
    int failure_status_ = 500;

    // Of the writer's thread.
    bool over_ = false;
    bool quiet_ = true;         // nothing was written since the last keep_alive()
    bool begun_whole_ = false;  // empty lines of a whole answer were written
};

}  // namespace hadal::serve
