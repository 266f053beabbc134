// One request and its answer, as a server hands it to a handler: what the two agree on, whatever
// carries it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hadal::http {

struct Request {
    std::string method;  // "GET"
    std::string path;    // decoded, without the query
    std::string query;   // behind the '?', as it came
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::string peer;  // address of the client
    std::string id;    // from X-Request-Id, or made by the server

    /// Of the first header of that name in any case; empty if there is none.
    std::string_view header(std::string_view name) const;
};

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
};

/// All of its methods may be called from any thread and none waits. After the client has gone, what
/// is sent goes nowhere.
class Exchange {
  public:
    virtual ~Exchange() = default;

    virtual const Request& request() const = 0;
    /// A whole answer; the exchange is over.
    virtual void send(Response response) = 0;
    /// Or a head without a body, then any number of writes, then the end.
    virtual void begin_stream(Response head) = 0;
    virtual void write(std::string bytes) = 0;
    virtual void finish() = 0;
    /// Written and not yet taken by the client's side: a slow reader.
    virtual size_t unsent_bytes() const = 0;
    /// Called once when the client goes away before the end, from a thread of the server; at once
    /// if it has gone.
    virtual void on_disconnect(std::function<void()> handler) = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace hadal::http
