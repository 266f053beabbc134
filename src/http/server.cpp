#include "http/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "core/error.h"
#include "http/connection.h"
#include "http/message.h"

namespace hadal::http {

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

std::string plain_error(int, std::string_view message) {
    return concat("{\"error\":{\"message\":\"", message, "\"}}\n");
}

std::optional<asio::ssl::context> tls_context(const ServerOptions& options) {
    if (options.tls_certificate.empty() && options.tls_key.empty()) return std::nullopt;
    if (options.tls_certificate.empty() || options.tls_key.empty())
        throw Error(Error::Kind::usage, "TLS takes a certificate and its key (give both files)");
    asio::ssl::context context(asio::ssl::context::tls_server);
    context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                        asio::ssl::context::no_tlsv1_1);
    // Idle connections give their buffers back.
    SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    const auto use = [](const std::filesystem::path& file, const ErrorCode& error) {
        if (error)
            throw Error(Error::Kind::bad_input,
                        concat("cannot use for TLS: ", file.string(), ": ", error.message()));
    };
    ErrorCode error;
    context.use_certificate_chain_file(options.tls_certificate.string(), error);
    use(options.tls_certificate, error);
    context.use_private_key_file(options.tls_key.string(), asio::ssl::context::pem, error);
    use(options.tls_key, error);
    return context;
}

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
    explicit State(ServerOptions options, Handler handler)
        : service(std::make_shared<Service>()), tls(tls_context(options)), acceptor(io) {
        service->options = std::move(options);
        service->handler = std::move(handler);
        service->id_seed = std::random_device()();
        if (!service->options.error_body) service->options.error_body = plain_error;
    }

    void listen() {
        const ServerOptions& options = service->options;
        const std::string where = concat(options.host, ":", options.port);
        ErrorCode error;
        tcp::resolver resolver(io);
        const auto found = resolver.resolve(options.host, std::to_string(options.port), error);
        if (error || found.empty())
            throw Error(Error::Kind::usage, concat("cannot listen on ", where, ": ",
                                                   error.message(), " (--host, --port)"));
        const tcp::endpoint endpoint = found.begin()->endpoint();
        acceptor.open(endpoint.protocol(), error);
        if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
        if (!error) acceptor.bind(endpoint, error);
        if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
        if (error)
            throw Error(Error::Kind::usage, concat("cannot listen on ", where, ": ",
                                                   error.message(), " (--host, --port)"));
    }

    asio::awaitable<void> accept() {
        constexpr auto kWait = asio::as_tuple(asio::use_awaitable);
        asio::steady_timer pause(io);
        while (!service->stopping) {
            tcp::socket socket(asio::make_strand(io));
            const auto [error] = co_await acceptor.async_accept(socket, kWait);
            if (service->stopping) co_return;
            if (error) {  // no file descriptors left: others will end
                pause.expires_after(std::chrono::milliseconds(100));
                co_await pause.async_wait(kWait);
            } else if (open >= service->options.max_connections) {
                turn_away(socket);
            } else {
                add(std::move(socket));
            }
        }
    }

    void turn_away(tcp::socket& socket) const {
        const Response response{.status = 503,
                                .body = service->options.error_body(503, "too many connections"),
                                .headers = {{"Retry-After", "1"}}};
        const std::string text = head_text(response, Framing::length, false, {}) + response.body;
        ErrorCode ignored;
        socket.non_blocking(true, ignored);
        socket.write_some(asio::buffer(text), ignored);  // a new socket takes this much at once
        socket.shutdown(tcp::socket::shutdown_send, ignored);
    }

    void add(tcp::socket socket) {
        ++open;
        std::weak_ptr<Connection> connection =
            serve_connection(service, std::move(socket), tls ? &*tls : nullptr, [this] {
                const std::lock_guard lock(mutex);
                --open;
                changed.notify_all();
            });
        const std::lock_guard lock(mutex);
        connections.remove_if([](const auto& one) { return one.expired(); });
        connections.push_back(std::move(connection));
    }

    template <class Action>
    void for_each_connection(const Action& action) {
        std::vector<std::shared_ptr<Connection>> living;
        {
            const std::lock_guard lock(mutex);
            for (const auto& one : connections) {
                if (auto connection = one.lock()) living.push_back(std::move(connection));
            }
        }
        for (const auto& connection : living) action(*connection);
    }

    std::shared_ptr<Service> service;
    std::optional<asio::ssl::context> tls;
    asio::io_context io;
    tcp::acceptor acceptor;
    std::vector<std::thread> threads;
    std::atomic<int64_t> open = 0;
    std::mutex mutex;  // guards the list, and waits for `open` to fall
    std::condition_variable changed;
    std::list<std::weak_ptr<Connection>> connections;
};

Server::Server(ServerOptions options, Handler handler)
    : state_(std::make_shared<State>(std::move(options), std::move(handler))) {
    state_->listen();
    asio::co_spawn(state_->io, state_->accept(), asio::detached);
    for (int i = 0; i < std::max(1, state_->service->options.io_threads); ++i)
        state_->threads.emplace_back([state = state_.get()] { state->io.run(); });
}

Server::~Server() {
    stop(std::chrono::milliseconds(0));
}

uint16_t Server::port() const {
    ErrorCode ignored;
    return state_->acceptor.local_endpoint(ignored).port();
}

int64_t Server::connections() const {
    return state_->open;
}

bool Server::stop(std::chrono::milliseconds at_most) {
    if (state_->threads.empty()) return true;
    state_->service->stopping = true;
    asio::post(state_->io, [state = state_.get()] {
        ErrorCode ignored;
        state->acceptor.close(ignored);
    });
    state_->for_each_connection([](Connection& connection) { connection.close_if_idle(); });
    const auto none_left = [&] { return state_->open == 0; };
    bool in_time = false;
    {
        std::unique_lock lock(state_->mutex);
        in_time = state_->changed.wait_for(lock, at_most, none_left);
    }
    if (!in_time) {
        state_->for_each_connection([](Connection& connection) { connection.cut(); });
        std::unique_lock lock(state_->mutex);
        state_->changed.wait_for(lock, std::chrono::seconds(5), none_left);
    }
    state_->io.stop();
    for (std::thread& thread : state_->threads) thread.join();
    state_->threads.clear();
    return in_time;
}

}  // namespace hadal::http
