// Bytes of a connection to requests. Strict where leniency lets two programs read the same bytes as
// different requests (RFC 9112 §11.2): one length, whole line ends, no folded lines.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace hadal::http {

/// These bytes are not a request; the connection has to end, for nobody knows where the next one
/// begins.
class RequestError : public std::exception {
  public:
    RequestError(int status, std::string message) : status_(status), message_(std::move(message)) {}

    const char* what() const noexcept override {
        return message_.c_str();
    }
    int status() const {
        return status_;
    }

  private:
    int status_;
    std::string message_;
};

class RequestReader {
  public:
    enum class State {
        idle,    // nothing of a request yet
        header,  // a part of its header
        body,    // all of its header
        done,    // all
    };

    RequestReader(size_t max_header_bytes, size_t max_body_bytes);
    ~RequestReader();

    /// RequestError with the status that says it best. Not once a request is done.
    void feed(std::string_view bytes);
    State state() const {
        return state_;
    }
    /// From the header on: the client waits for "100 Continue" before it sends the body …
    bool expects_continue() const;
    /// … and wants to send more requests behind this one.
    bool keep_alive() const;
    bool is_http_1_0() const;

    /// The request that is done. The reader is then for the next one.
    Request take();
    /// Bytes behind the request that is done.
    std::string take_rest();

  private:
    struct Parser;

    void read_header();
    void check_header_bytes();
    void read_body();

    size_t max_header_bytes_, max_body_bytes_;
    State state_ = State::idle;
    std::string input_;               // not understood yet
    size_t checked_ = 0;              // bytes of it that can be in a header
    std::unique_ptr<Parser> parser_;  // from the header's end on: a waiting connection is small
};

}  // namespace hadal::http
