#include "http/request_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <iterator>
#include <optional>

#include "core/error.h"
#include "http/message.h"

namespace hadal::http {

namespace {

namespace beast = boost::beast;
using Fields = beast::http::fields;

constexpr std::string_view kEndOfHeader = "\r\n\r\n";

[[noreturn]] void refuse(int status, std::string message) {
    throw RequestError(status, std::move(message));
}

[[noreturn]] void refuse(const beast::error_code& code) {
    using beast::http::error;
    if (code == error::body_limit) refuse(413, "the request's body is too large");
    if (code == error::header_limit) refuse(431, "the request's header is too large");
    if (code == error::bad_version) refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    refuse(400, concat("malformed HTTP request: ", code.message()));
}

std::string_view view(beast::string_view text) {
    return {text.data(), text.size()};
}

bool is_hex_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// A whole line at the beginning, which is not the last chunk's. Beast waits behind it for the end
/// of a quoted string, and counts the chunk each time that it looks again.
bool holds_whole_chunk_head(std::string_view input) {
    constexpr std::string_view kEnd = "\r\n";
    if (input.starts_with(kEnd)) input.remove_prefix(kEnd.size());  // of the chunk before
    const size_t size = input.find_first_not_of('0');
    return size != std::string_view::npos && is_hex_digit(input[size]) &&
           input.find(kEnd) != std::string_view::npos;
}

bool same_word(beast::string_view a, std::string_view b) {
    return beast::iequals(a, beast::string_view(b.data(), b.size()));
}

/// The value of a field that may come once at most.
std::optional<std::string_view> only(const Fields& fields, beast::http::field name) {
    const auto [first, end] = fields.equal_range(name);
    if (first == end) return std::nullopt;
    if (std::next(first) != end) {
        refuse(400, concat("more than one ", view(beast::http::to_string(name)), " header"));
    }
    return view(first->value());
}

/// How long the body is must be said in one way, or not at all.
void check_length(const Fields& fields, unsigned version) {
    const auto length = only(fields, beast::http::field::content_length);
    const auto coding = only(fields, beast::http::field::transfer_encoding);
    if (length && coding) refuse(400, "both Content-Length and Transfer-Encoding");
    if (length && (length->empty() ||
                   !std::ranges::all_of(*length, [](char c) { return c >= '0' && c <= '9'; }))) {
        refuse(400, "Content-Length is not a number");
    }
    if (!coding) return;
    if (version == 10) refuse(400, "Transfer-Encoding in HTTP/1.0");
    if (!same_word(*coding, "chunked"))
        refuse(501, "no Transfer-Encoding but chunked is known here");
}

void check_fields(const Fields& fields, unsigned version) {
    if (version != 10 && version != 11) refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    check_length(fields, version);
    if (!only(fields, beast::http::field::host) && version == 11) refuse(400, "no Host header");
    const auto expect = only(fields, beast::http::field::expect);
    if (expect && !same_word(*expect, "100-continue")) refuse(417, "unknown Expect header");
    const auto coding = only(fields, beast::http::field::content_encoding);
    if (coding && !same_word(*coding, "identity")) {
        refuse(415, "compressed request bodies are not taken: send it without Content-Encoding");
    }
}

/// "/path?query", "http://host/path?query" or "*" (RFC 9112 §3.2).
Target target_of(std::string_view text) {
    if (text == "*") return {.path = "*", .query = {}};
    if (const size_t scheme = text.find("://");
        !text.starts_with('/') && scheme != std::string_view::npos) {
        text.remove_prefix(std::min(text.find('/', scheme + 3), text.size()));
        if (text.empty()) text = "/";
    }
    auto target = parse_target(text);
    if (!target) refuse(400, "the request's target is broken");
    return std::move(*target);
}

}  // namespace

struct RequestReader::Parser {
    beast::http::request_parser<beast::http::string_body> request;
};

RequestReader::RequestReader(size_t max_header_bytes, size_t max_body_bytes)
    : max_header_bytes_(max_header_bytes), max_body_bytes_(max_body_bytes) {}

RequestReader::~RequestReader() = default;

void RequestReader::feed(std::string_view bytes) {
    HADAL_ASSERT(state_ != State::done);
    input_ += bytes;
    if (state_ == State::idle || state_ == State::header) read_header();
    if (state_ == State::body) read_body();
}

void RequestReader::read_header() {
    while (state_ == State::idle && input_.starts_with("\r\n")) input_.erase(0, 2);  // §2.2
    if (input_.empty() || input_ == "\r") return;
    state_ = State::header;
    check_header_bytes();
    const size_t end = input_.find(kEndOfHeader);
    if (end == std::string::npos ? input_.size() > max_header_bytes_
                                 : end + kEndOfHeader.size() > max_header_bytes_) {
        refuse(431, concat("the request's header is larger than ", max_header_bytes_, " bytes"));
    }
    if (end == std::string::npos) return;
    parser_ = std::make_unique<Parser>();
    parser_->request.header_limit(uint32_t(max_header_bytes_));
    parser_->request.body_limit(max_body_bytes_);
    const size_t size = end + kEndOfHeader.size();
    beast::error_code error;
    const size_t taken = parser_->request.put(boost::asio::buffer(input_.data(), size), error);
    if (error && error != beast::http::error::need_more) refuse(error);
    if (!parser_->request.is_header_done()) refuse(400, "malformed HTTP request");
    input_.erase(0, taken);
    const auto& header = parser_->request.get();
    check_fields(header, header.version());
    target_of(view(header.target()));  // a path that cannot be read is refused before its body
    parser_->request.eager(true);
    state_ = State::body;
}

/// What some programs take for the end of a line and others do not, up to the header's end.
void RequestReader::check_header_bytes() {
    for (; checked_ < input_.size(); ++checked_) {
        const char c = input_[checked_];
        const char before = checked_ > 0 ? input_[checked_ - 1] : '\0';
        if ((before == '\r') != (c == '\n')) refuse(400, "a line of the header ends half-way");
        if (before == '\n' && (c == ' ' || c == '\t')) refuse(400, "a folded header line");
        const auto byte = uint8_t(c);
        if ((byte < ' ' && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f) {
            refuse(400, "a control character in the header");
        }
        if (c == '\n' && checked_ >= 3 && input_.compare(checked_ - 3, 4, kEndOfHeader) == 0) {
            return;  // what follows is the body's
        }
    }
}

void RequestReader::read_body() {
    auto& request = parser_->request;
    while (!request.is_done() && !input_.empty()) {
        beast::error_code error;
        const size_t taken = request.put(boost::asio::buffer(input_), error);
        input_.erase(0, taken);
        if (error == beast::http::error::need_more) break;
        if (error) refuse(error);
        if (taken == 0) break;
    }
    // What waits here is the head of a chunk, or the last one's with the trailers behind it.
    if (!request.is_done() && holds_whole_chunk_head(input_)) refuse(400, "a malformed chunk");
    if (!request.is_done() && input_.size() > max_header_bytes_) {
        refuse(400, "the head of a chunk is too long");
    }
    if (request.is_done()) state_ = State::done;
}

bool RequestReader::expects_continue() const {
    const auto& header = parser_->request.get();
    return header.version() == 11 && header.find(beast::http::field::expect) != header.end();
}

bool RequestReader::keep_alive() const {
    return parser_->request.keep_alive();
}

bool RequestReader::is_http_1_0() const {
    return parser_->request.get().version() == 10;
}

Request RequestReader::take() {
    HADAL_ASSERT(state_ == State::done);
    auto message = parser_->request.release();
    Target target = target_of(view(message.target()));
    Request request{.method = std::string(view(message.method_string())),
                    .path = std::move(target.path),
                    .query = std::move(target.query),
                    .headers = {},
                    .body = std::move(message.body()),
                    .peer = {},
                    .id = {}};
    for (const auto& field : message.base()) {
        request.headers.emplace_back(view(field.name_string()), view(field.value()));
    }
    parser_.reset();
    checked_ = 0;
    state_ = State::idle;
    return request;
}

std::string RequestReader::take_rest() {
    return std::exchange(input_, {});
}

}  // namespace hadal::http
