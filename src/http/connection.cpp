#include "http/connection.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <type_traits>

#include "core/error.h"
#include "http/answer_state.h"
#include "http/request_reader.h"

namespace hadal::http {

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// Arguments and results of what is awaited have names: GCC 12 destroys temporaries of conditions
// and braces around co_await twice.
constexpr auto kWait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 8192;
/// How long and how much a client that is being refused may go on sending, so that it can read why.
constexpr std::chrono::seconds kLingerTime{2};
constexpr int kLingerReads = 256;

/// The exchange as a handler holds it. When the last handle goes without an answer, so does hope.
class LiveExchange : public Exchange {
  public:
    LiveExchange(Request request, std::shared_ptr<AnswerState> state,
                 std::shared_ptr<Service> service)
        : request_(std::move(request)), state_(std::move(state)), service_(std::move(service)) {}
    ~LiveExchange() override {
        state_->abandon(service_->options.error_body);
    }
    LiveExchange(const LiveExchange&) = delete;
    LiveExchange& operator=(const LiveExchange&) = delete;

    const Request& request() const override {
        return request_;
    }
    void send(Response response) override {
        state_->send(std::move(response));
    }
    void begin_stream(Response head) override {
        state_->begin_stream(std::move(head));
    }
    void write(std::string bytes) override {
        state_->write(std::move(bytes));
    }
    void finish() override {
        state_->finish();
    }
    size_t unsent_bytes() const override {
        return state_->unsent_bytes();
    }
    void on_disconnect(std::function<void()> handler) override {
        state_->on_disconnect(std::move(handler));
    }

  private:
    Request request_;
    std::shared_ptr<AnswerState> state_;
    std::shared_ptr<Service> service_;
};

/// Stream: tcp::socket, or TLS over it.
template <class Stream>
class LiveConnection final : public Connection,
                             public std::enable_shared_from_this<LiveConnection<Stream>> {
  public:
    static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;

    template <class... Argument>
    LiveConnection(std::shared_ptr<Service> service, std::function<void()> done, tcp::socket socket,
                   Argument&... tls)
        : service_(std::move(service)),
          done_(std::move(done)),
          stream_(std::move(socket), tls...),
          deadline_(stream_.get_executor()),
          reader_(stream_.get_executor()),
          writer_(stream_.get_executor()),
          requests_(service_->options.max_header_bytes, service_->options.max_body_bytes) {
        reader_.expires_at(asio::steady_timer::time_point::max());
        writer_.expires_at(asio::steady_timer::time_point::max());
        ErrorCode ignored;
        peer_ = this->socket().remote_endpoint(ignored).address().to_string();
        this->socket().set_option(tcp::no_delay(true), ignored);
    }
    ~LiveConnection() override {
        done_();
    }
    LiveConnection(const LiveConnection&) = delete;
    LiveConnection& operator=(const LiveConnection&) = delete;

    void start() {
        asio::co_spawn(
            stream_.get_executor(),
            [self = this->shared_from_this()] { return self->read_requests(); }, asio::detached);
    }

    void close_if_idle() override {
        asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
            if (self->state_ == nullptr && !self->in_request_) self->close();
        });
    }
    void cut() override {
        asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->close(); });
    }

  private:
    tcp::socket& socket() {
        if constexpr (kTls) {
            return stream_.next_layer();
        } else {
            return stream_;
        }
    }
    const ServerOptions& options() const {
        return service_->options;
    }

    // ---- time

    void set_deadline(std::chrono::milliseconds after) {
        deadline_.expires_after(after);
        deadline_.async_wait([self = this->weak_from_this()](const ErrorCode& error) {
            if (error) return;
            if (const auto connection = self.lock()) connection->too_late();
        });
    }
    void too_late() {
        // Between the expiry and this call a new deadline may have been set.
        if (deadline_.expiry() > asio::steady_timer::clock_type::now()) return;
        if (!in_request_ || ending_) return close();
        asio::co_spawn(
            stream_.get_executor(),
            [self = this->shared_from_this()]() -> awaitable<void> {
                const RequestError late(408, "the request did not arrive in time");
                co_await self->refuse(late);
                self->close();
            },
            asio::detached);
    }

    void close() {
        closed_ = true;
        deadline_.cancel();
        reader_.cancel();
        writer_.cancel();
        ErrorCode ignored;
        socket().shutdown(tcp::socket::shutdown_both, ignored);
        socket().close(ignored);
        if (const auto state = state_) {
            state->disconnect();
            end_exchange();
        }
    }

    // ---- requests

    awaitable<void> read_requests() {
        if constexpr (kTls) {
            set_deadline(options().header_timeout);
            const auto [error] =
                co_await stream_.async_handshake(asio::ssl::stream_base::server, kWait);
            if (error) co_return close();
        }
        asio::co_spawn(
            stream_.get_executor(),
            [self = this->shared_from_this()] { return self->write_answers(); }, asio::detached);
        while (!closed_) {
            set_deadline(options().idle_timeout);
            const std::optional<RequestError> refusal = co_await read_request();
            if (closed_ || ending_) co_return;
            if (refusal) {
                co_await refuse(*refusal);
                co_return co_await linger();
            }
            in_request_ = false;
            deadline_.cancel();
            answer();
            co_await watch_client();
            if (ending_) co_return co_await linger();
        }
    }

    /// Until there is one. Nothing also where the connection has ended.
    awaitable<std::optional<RequestError>> read_request() {
        bool header_done = false;
        while (true) {
            if (!input_.empty()) {
                if (!in_request_) {
                    in_request_ = true;
                    set_deadline(options().header_timeout);
                }
                if (auto refusal = feed()) co_return refusal;
                const RequestReader::State state = requests_.state();
                if (state == RequestReader::State::done) co_return std::nullopt;
                if (state == RequestReader::State::body && !header_done) {
                    header_done = true;
                    set_deadline(options().body_timeout);
                    co_await permit_body();
                }
            }
            const bool more = co_await read_some();
            if (!more || closed_) {
                if (!ending_) close();
                co_return std::nullopt;
            }
        }
    }

    std::optional<RequestError> feed() {
        try {
            requests_.feed(std::exchange(input_, {}));
            return std::nullopt;
        } catch (const RequestError& error) {
            return error;
        }
    }

    /// Clients that announce a large body wait for this before they send it.
    awaitable<void> permit_body() {
        if (!requests_.expects_continue()) co_return;
        static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await stream_.async_write_some(asio::buffer(kContinue), kWait);
    }

    awaitable<bool> read_some() {
        std::array<char, kReadBytes> bytes;
        const auto [error, count] = co_await stream_.async_read_some(asio::buffer(bytes), kWait);
        if (error) co_return false;
        input_.append(bytes.data(), count);
        co_return true;
    }

    std::string made_id() {
        const uint64_t number = ++service_->requests;
        char text[40];
        std::snprintf(text, sizeof text, "%08llx-%llx",
                      static_cast<unsigned long long>(service_->id_seed & 0xffffffff),
                      static_cast<unsigned long long>(number));
        return text;
    }

    void answer() {
        AnswerState::Form form{.chunks = !requests_.is_http_1_0(),
                               .keep_alive = requests_.keep_alive() && !service_->stopping};
        Request given = requests_.take();
        input_ = requests_.take_rest();
        form.head = given.method == "HEAD";
        given.peer = peer_;
        given.id = usable_request_id(given.header("X-Request-Id"));
        if (given.id.empty()) given.id = made_id();
        std::string body = std::exchange(given.body, {});
        request_ = given;
        given.body = std::move(body);
        const auto state =
            std::make_shared<AnswerState>(form, request_.id, [weak = this->weak_from_this()] {
                const auto self = weak.lock();
                if (!self || self->woken_.exchange(true)) return;
                asio::post(self->stream_.get_executor(), [self] {
                    self->woken_ = false;
                    self->writer_.cancel();
                });
            });
        state_ = state;
        call_handler(std::make_shared<LiveExchange>(std::move(given), state, service_));
    }

    void call_handler(const std::shared_ptr<Exchange>& exchange) {
        try {
            service_->handler(exchange);
        } catch (const std::exception&) {
            // What went wrong inside is not the client's to know.
            exchange->send({.status = 500, .body = options().error_body(500, "internal error")});
        }
    }

    /// Until the answer is out: goes on reading, and so learns when the client goes away. What
    /// comes is the next request, which waits.
    awaitable<void> watch_client() {
        while (state_ != nullptr && !closed_ && !ending_) {
            if (!input_.empty()) {
                co_await reader_.async_wait(kWait);
                continue;
            }
            const bool more = co_await read_some();
            if (!more) co_return close();
        }
    }

    // ---- answers

    awaitable<void> write_answers() {
        while (!closed_) {
            const std::shared_ptr<AnswerState> state = state_;
            if (state != nullptr) {
                const std::string bytes = state->take();
                if (!bytes.empty()) {
                    const bool written = co_await write_all(*state, bytes);
                    if (!written) co_return close();
                    continue;
                }
                if (state->is_over()) {
                    end_exchange();
                    if (!state->keep_alive() || service_->stopping) co_return co_await hang_up();
                    set_deadline(options().idle_timeout);
                    reader_.cancel();
                    continue;
                }
            }
            co_await writer_.async_wait(kWait);
        }
    }

    awaitable<bool> write_all(AnswerState& state, std::string_view bytes) {
        while (!bytes.empty()) {
            set_deadline(options().write_timeout);
            const auto [error, count] =
                co_await stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kWait);
            if (error || closed_) co_return false;
            state.taken(count);
            bytes.remove_prefix(count);
        }
        deadline_.cancel();
        co_return true;
    }

    void end_exchange() {
        const auto state = std::exchange(state_, nullptr);
        if (options().on_answered) options().on_answered(request_, state->outcome());
        request_ = {};
    }

    /// The last answer of this connection.
    awaitable<void> refuse(const RequestError& refusal) {
        ending_ = true;
        set_deadline(options().write_timeout);
        const Response response{.status = refusal.status(),
                                .body = options().error_body(refusal.status(), refusal.what())};
        const std::string text = head_text(response, Framing::length, false, {}) + response.body;
        std::string_view rest = text;
        while (!rest.empty()) {
            const auto [error, count] =
                co_await stream_.async_write_some(asio::buffer(rest.data(), rest.size()), kWait);
            if (error || closed_) co_return close();
            rest.remove_prefix(count);
        }
        if (options().on_answered) {
            Request unread;
            unread.peer = peer_;
            options().on_answered(unread,
                                  {.status = refusal.status(), .body_bytes = response.body.size()});
        }
        co_await hang_up();
    }

    /// Says that nothing follows. The reading side goes on until the client has hung up too.
    awaitable<void> hang_up() {
        ending_ = true;
        set_deadline(kLingerTime);
        reader_.cancel();
        if constexpr (kTls) {
            co_await stream_.async_shutdown(kWait);
            close();
        } else {
            ErrorCode ignored;
            socket().shutdown(tcp::socket::shutdown_send, ignored);
        }
    }

    /// Lets the client read the last answer: were the connection closed with bytes of the client's
    /// unread, the system would throw away what is on its way to it.
    awaitable<void> linger() {
        for (int i = 0; i < kLingerReads && !closed_; ++i) {
            input_.clear();
            const bool more = co_await read_some();
            if (!more) break;
        }
        close();
    }

    std::shared_ptr<Service> service_;
    std::function<void()> done_;
    Stream stream_;
    asio::steady_timer deadline_;
    asio::steady_timer reader_, writer_;  // never expire: waited for, and cancelled to wake
    std::string peer_;
    RequestReader requests_;
    std::string input_;  // read and not yet fed to it
    Request request_;    // being answered; its body is the handler's
    std::shared_ptr<AnswerState> state_;
    std::atomic<bool> woken_ = false;
    bool in_request_ = false;  // some of the next request has been read
    bool ending_ = false;      // no more answers
    bool closed_ = false;
};

}  // namespace

std::shared_ptr<Connection> serve_connection(const std::shared_ptr<Service>& service,
                                             tcp::socket socket, asio::ssl::context* tls,
                                             std::function<void()> done) {
    if (tls == nullptr) {
        const auto connection = std::make_shared<LiveConnection<tcp::socket>>(
            service, std::move(done), std::move(socket));
        connection->start();
        return connection;
    }
    const auto connection = std::make_shared<LiveConnection<asio::ssl::stream<tcp::socket>>>(
        service, std::move(done), std::move(socket), *tls);
    connection->start();
    return connection;
}

}  // namespace hadal::http
