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
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <type_traits>

#include "core/error.h"
#include "http/answer_state.h"

namespace hadal::http {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::awaitable;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Parser = beast::http::request_parser<beast::http::string_body>;

// Arguments and results of what is awaited have names: GCC 12 destroys temporaries of conditions
// and braces around co_await twice.
constexpr auto kWait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 8192;
/// How long and how much a client that is being refused may go on sending, so that it can read why.
constexpr std::chrono::seconds kLingerTime{2};
constexpr int kLingerReads = 256;

/// A request that cannot be served; the connection ends after the answer.
struct Refusal {
    int status = 400;
    std::string message;
};

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

/// What a parser's error means for the client.
Refusal refusal_of(const ErrorCode& error) {
    using Problem = beast::http::error;
    if (error == Problem::header_limit) return {431, "the request's headers are too long"};
    if (error == Problem::body_limit) return {413, "the request's body is too long"};
    if (error == Problem::bad_version) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    return {400, concat("not an HTTP request: ", error.message())};
}

/// Requests that two readers could take for different ones are refused: the one in front of us may
/// have taken the other view (request smuggling).
std::optional<Refusal> ambiguity(const Parser& parser) {
    const auto& fields = parser.get();
    const auto lengths = fields.count(beast::http::field::content_length);
    const auto encodings = fields.count(beast::http::field::transfer_encoding);
    const bool is_list = fields[beast::http::field::content_length].find(',') != std::string::npos;
    if (lengths > 1 || is_list || encodings > 1 || (lengths > 0 && encodings > 0))
        return Refusal{400, "the request says twice how long it is"};
    if (encodings > 0 && (!parser.chunked() || fields.version() < 11))
        return Refusal{400, "of transfer encodings only chunked is known, in HTTP/1.1"};
    if (fields.version() != 10 && fields.version() != 11)
        return Refusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    const auto hosts = fields.count(beast::http::field::host);
    if (hosts > 1 || (hosts == 0 && fields.version() == 11))
        return Refusal{400, "an HTTP/1.1 request has one Host header"};
    return std::nullopt;
}

std::string to_string(beast::string_view text) {
    return {text.data(), text.size()};
}

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
          writer_(stream_.get_executor()) {
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
                const Refusal late{408, "the request did not arrive in time"};
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
            Parser parser;
            parser.header_limit(uint32_t(options().max_header_bytes));
            parser.body_limit(options().max_body_bytes);
            const std::optional<Refusal> refusal = co_await read_request(parser);
            if (closed_ || ending_) co_return;
            if (refusal) {
                co_await refuse(*refusal);
                co_return co_await linger();
            }
            in_request_ = false;
            deadline_.cancel();
            answer(parser.release());
            co_await watch_client();
            if (ending_) co_return co_await linger();
        }
    }

    /// Fills the parser. Nothing also where the connection has ended.
    awaitable<std::optional<Refusal>> read_request(Parser& parser) {
        bool header_done = false;
        while (true) {
            if (!input_.empty()) {
                if (!in_request_) {
                    in_request_ = true;
                    set_deadline(options().header_timeout);
                }
                ErrorCode error;
                const size_t used = parser.put(asio::buffer(input_), error);
                input_.erase(0, used);
                if (error && error != beast::http::error::need_more) co_return refusal_of(error);
                if (parser.is_header_done() && !header_done) {
                    header_done = true;
                    if (const auto found = ambiguity(parser)) co_return found;
                    set_deadline(options().body_timeout);
                    parser.eager(true);
                    if (!parser.is_done()) co_await permit_body(parser);
                }
                if (parser.is_done()) co_return std::nullopt;
                if (used > 0 && !input_.empty()) continue;
                if (input_.size() > options().max_header_bytes + kReadBytes)
                    co_return Refusal{400, "a line of the request is too long"};
            }
            const bool more = co_await read_some();
            if (!more || closed_) {
                if (!ending_) close();
                co_return std::nullopt;
            }
        }
    }

    /// Clients that announce a large body wait for this before they send it.
    awaitable<void> permit_body(const Parser& parser) {
        const auto expect = parser.get()[beast::http::field::expect];
        if (!beast::iequals(expect, "100-continue") || !input_.empty()) co_return;
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

    Request request_of(Parser::value_type message, Target target) {
        Request request{.method = to_string(message.method_string()),
                        .path = std::move(target.path),
                        .query = std::move(target.query),
                        .headers = {},
                        .body = std::move(message.body()),
                        .peer = peer_,
                        .id = {}};
        for (const auto& field : message)
            request.headers.emplace_back(to_string(field.name_string()), to_string(field.value()));
        request.id = usable_request_id(request.header("X-Request-Id"));
        if (request.id.empty()) request.id = made_id();
        return request;
    }

    std::string made_id() {
        const uint64_t number = ++service_->requests;
        char text[40];
        std::snprintf(text, sizeof text, "%08llx-%llx",
                      static_cast<unsigned long long>(service_->id_seed & 0xffffffff),
                      static_cast<unsigned long long>(number));
        return text;
    }

    void answer(Parser::value_type message) {
        const bool keep_alive = message.keep_alive() && !service_->stopping;
        const AnswerState::Form form{.head = message.method() == beast::http::verb::head,
                                     .chunks = message.version() == 11,
                                     .keep_alive = keep_alive};
        auto target =
            parse_target(std::string_view(message.target().data(), message.target().size()));
        const bool bad_target = !target.has_value();
        if (bad_target) target = Target{};
        Request given = request_of(std::move(message), std::move(*target));
        std::string body = std::move(given.body);
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
        if (bad_target) {
            return state->send(
                {.status = 400,
                 .body = options().error_body(400, "the request's target is broken")});
        }
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
    awaitable<void> refuse(const Refusal& refusal) {
        ending_ = true;
        set_deadline(options().write_timeout);
        const Response response{.status = refusal.status,
                                .body = options().error_body(refusal.status, refusal.message)};
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
                                  {.status = refusal.status, .body_bytes = response.body.size()});
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
    std::string input_;  // read and not yet parsed
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
