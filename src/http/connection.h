// One client's connection: requests read one after another, each given to the handler, its answer
// written while the client is watched.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "http/server.h"

namespace hadal::http {

/// What all connections of a server use.
struct Service {
    ServerOptions options;
    Handler handler;
    std::atomic<bool> stopping = false;
    std::atomic<uint64_t> requests = 0;  // so far; makes request ids
    uint64_t id_seed = 0;
};

class Connection {
  public:
    virtual ~Connection() = default;
    /// Both from any thread.
    virtual void close_if_idle() = 0;
    virtual void cut() = 0;
};

/// Serves until the connection ends; `done` is called then, once. TLS if `tls` is given, which must
/// outlive the connection. The socket's executor is a strand.
std::shared_ptr<Connection> serve_connection(const std::shared_ptr<Service>& service,
                                             boost::asio::ip::tcp::socket socket,
                                             boost::asio::ssl::context* tls,
                                             std::function<void()> done);

}  // namespace hadal::http
