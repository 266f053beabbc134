// An HTTP/1.1 server for strangers: a few threads for any number of connections, every wait and
// every size bounded, TLS if asked for. What requests mean is the handler's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace hadal::http {

/// What became of a request, for logs and counters.
struct Outcome {
    int status = 0;
    size_t body_bytes = 0;  // of the answer
    std::chrono::nanoseconds time{};
    bool disconnected = false;  // the client went away before the end
};

struct ServerOptions {
    std::string host = "127.0.0.1";  // an address, or a name that stands for one
    uint16_t port = 0;               // 0: any free one
    std::filesystem::path tls_certificate = {}, tls_key = {};  // PEM; both or neither
    size_t max_header_bytes = size_t(16) << 10;
    size_t max_body_bytes = size_t(16) << 20;
    int64_t max_connections = 4096;  // more are turned away with 503
    int io_threads = 2;
    // A connection that waits longer is closed; in the middle of a request it hears 408 first.
    std::chrono::milliseconds idle_timeout{75'000};    // between requests
    std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte to its body
    std::chrono::milliseconds body_timeout{60'000};    // from there to its end
    std::chrono::milliseconds write_timeout{60'000};   // in which the client takes nothing
    /// The body of an answer that the server gives by itself (a malformed request, a handler that
    /// threw): JSON.
    std::function<std::string(int status, std::string_view message)> error_body = {};
    /// Called when an exchange is over, from a thread of the server.
    std::function<void(const Request&, const Outcome&)> on_answered = {};
};

class Server {
  public:
    /// Listens at once. `handler` is called on a thread of the server and must not wait; an
    /// exception out of it becomes a 500. Error(usage) for an address or a port that cannot be had,
    /// Error(bad_input) for a certificate or key that cannot be used.
    Server(ServerOptions options, Handler handler);
    /// Cuts off what stop() has not ended.
    ~Server();

    uint16_t port() const;
    /// Open now.
    int64_t connections() const;
    /// Takes no more connections, closes those between requests, and waits for the others' answers,
    /// at most so long; what is left then is cut off. True if nothing was.
    bool stop(std::chrono::milliseconds at_most);

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace hadal::http
