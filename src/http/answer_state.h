// What a handler's thread and a connection's share of one exchange: the bytes of the answer on
// their way, and how it ends.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>

#include "http/exchange.h"
#include "http/message.h"
#include "http/server.h"

namespace hadal::http {

class AnswerState {
  public:
    struct Form {
        bool head = false;   // a HEAD request: no body
        bool chunks = true;  // the client speaks HTTP/1.1
        bool keep_alive = true;
    };
    /// `wake` is called, from any thread, when there is something new for the connection.
    AnswerState(Form form, std::string request_id, std::function<void()> wake);

    // For the handler; see Exchange.
    void send(Response response);
    void begin_stream(Response head);
    void write(std::string bytes);
    void finish();
    size_t unsent_bytes() const;
    void on_disconnect(std::function<void()> handler);
    /// Nobody will answer any more: a 500 if nothing has begun, else the connection is cut.
    void abandon(const std::function<std::string(int, std::string_view)>& error_body);

    // For the connection.

    /// Bytes to be sent now, none if there are none; they count as unsent until taken() is called.
    std::string take();
    void taken(size_t bytes);
    /// All has been taken, and nothing will follow.
    bool is_over() const;
    bool keep_alive() const;
    /// The client has gone: what follows is dropped, and who asked to know it is told.
    void disconnect();
    Outcome outcome() const;

  private:
    void append(std::string bytes);
    bool keep_alive_locked() const;

    const Form form_;
    const std::string request_id_;
    const std::function<void()> wake_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();

    mutable std::mutex mutex_;  // guards what follows
    std::string pending_;
    size_t in_flight_ = 0;
    bool begun_ = false, ended_ = false, gone_ = false, lost_ = false, cut_ = false;
    Framing framing_ = Framing::length;
    int status_ = 0;
    size_t body_bytes_ = 0;
    std::function<void()> on_gone_;
};

}  // namespace hadal::http
