// What stands between the network and the service: keys, other origins' pages, limits, and the
// paths that are for whoever runs the server and not for its users.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "serve/access.h"
#include "serve/access_log.h"
#include "serve/metrics.h"
#include "serve/service.h"

namespace hadal::serve {

struct GateOptions {
    ApiKeys keys = {};
    CrossOrigin cross_origin{};
    int64_t open_requests = 256;                    // for texts, at one time; more hear 429
    int64_t waiting_texts = 1024;                   // in the engine's queue; more hear 429
    std::chrono::duration<double> longest_step{0};  // then the engine is not healthy; 0: never
    AccessLog* log = nullptr;                       // outlives the gate; null: none
};

class Gate {
  public:
    /// Both outlive the gate.
    Gate(Service& service, Metrics& metrics, GateOptions options);

    /// An http::Handler.
    void handle(std::shared_ptr<http::Exchange> exchange);
    /// For ServerOptions::on_answered.
    void answered(const http::Request& request, const http::Outcome& outcome);
    /// From now on these keys and no others; from any thread.
    void set_keys(ApiKeys keys);
    /// From now on the server is not ready: whoever sends requests here can stop that.
    void drain();

  private:
    using Open = std::shared_ptr<std::atomic<int64_t>>;

    /// True if it was one of the gate's own paths.
    bool answer_operations(http::Exchange& exchange) const;
    bool is_stuck() const;
    void check_key(const http::Request& request) const;
    std::shared_ptr<const ApiKeys> keys() const;
    std::shared_ptr<void> take_place(const http::Request& request);

    Service& service_;
    Metrics& metrics_;
    GateOptions options_;
    mutable std::mutex mutex_;  // guards keys_
    std::shared_ptr<const ApiKeys> keys_;
    Open open_ = std::make_shared<std::atomic<int64_t>>(0);  // exchanges may outlive the gate
    std::atomic<bool> draining_ = false;
};

}  // namespace hadal::serve
