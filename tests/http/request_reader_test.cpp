#include "http/request_reader.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace hadal;
using http::RequestReader;

namespace {

constexpr size_t kMaxHeader = 4096, kMaxBody = 1000;

/// The status with which it is refused; 0: it is a request; −1: more has to come.
int outcome(std::string_view bytes) {
    RequestReader reader(kMaxHeader, kMaxBody);
    try {
        reader.feed(bytes);
    } catch (const http::RequestError& error) {
        return error.status();
    }
    return reader.state() == RequestReader::State::done ? 0 : -1;
}

/// The same, byte by byte.
int slow_outcome(std::string_view bytes) {
    RequestReader reader(kMaxHeader, kMaxBody);
    try {
        for (const char& byte : bytes) {
            if (reader.state() == RequestReader::State::done) break;
            reader.feed({&byte, 1});
        }
    } catch (const http::RequestError& error) {
        return error.status();
    }
    return reader.state() == RequestReader::State::done ? 0 : -1;
}

struct Case {
    std::string what;
    std::string bytes;
    int status;
};

std::string with(std::string_view headers, std::string_view body = "") {
    return "POST / HTTP/1.1\r\nHost: h\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

const std::vector<Case>& cases() {
    using namespace std::string_literals;
    static const std::vector<Case> all = {
        {"a request", with(""), 0},
        {"empty lines before it", "\r\n\r\n" + with(""), 0},
        {"HTTP/1.0 needs no host", "GET / HTTP/1.0\r\n\r\n", 0},
        {"an absolute target", "GET http://h:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", 0},
        {"nothing", "", -1},
        {"half a header", "GET / HTTP/1.1\r\nHost", -1},
        {"half a body", with("Content-Length: 3\r\n", "ab"), -1},
        // Smuggling: shapes that two servers read differently.
        {"length and chunks",
         with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
        {"chunks and length",
         with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400},
        {"two lengths", with("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
        {"the same length twice", with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
        {"lengths in a list", with("Content-Length: 3, 3\r\n", "abc"), 400},
        {"a signed length", with("Content-Length: +3\r\n", "abc"), 400},
        {"a negative length", with("Content-Length: -3\r\n", "abc"), 400},
        {"a hexadecimal length", with("Content-Length: 0x3\r\n", "abc"), 400},
        {"an empty length", with("Content-Length:\r\n"), 400},
        {"a length beyond 64 bits", with("Content-Length: 99999999999999999999\r\n"), 400},
        {"another coding", with("Transfer-Encoding: gzip\r\n"), 501},
        {"a coding before chunks", with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
        {"chunks twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
        {"a coding like chunks", with("Transfer-Encoding: xchunked\r\n"), 501},
        {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"a space before the colon", with("Content-Length : 3\r\n", "abc"), 400},
        {"a folded line", with("X: a\r\n b\r\n"), 400},
        {"a space before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
        {"bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", 400},
        {"one bare line feed", with("X: a\nY: b\r\n"), 400},
        {"a bare return", with("X: a\rY: b\r\n"), 400},
        {"a zero byte", with("X: a\0b\r\n"s), 400},
        {"a control character", with("X: a\x01\r\n"), 400},
        {"a zero byte in the target", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, 400},
        {"an encoded zero byte", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"a broken escape", "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"a header without a colon", with("Nonsense\r\n"), 400},
        {"a header without a name", with(": x\r\n"), 400},
        {"a bad chunk size", with("Transfer-Encoding: chunked\r\n", "zz\r\n"), 400},
        {"a chunk size beyond 64 bits",
         with("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"), 400},
        {"a chunk that is longer than it says",
         with("Transfer-Encoding: chunked\r\n", "2\r\nabcd\r\n0\r\n\r\n"), 400},
        {"a quoted string over a line's end",
         with("Transfer-Encoding: chunked\r\n", "2;a=\"b\r\nab\r\n0\r\n\r\n"), 400},
        {"a quoted string", with("Transfer-Encoding: chunked\r\n", "2;a=\"b\"\r\nab\r\n0\r\n\r\n"),
         0},
        {"a chunk's head without end",
         with("Transfer-Encoding: chunked\r\n", "1;" + std::string(kMaxHeader, 'x')), 400},
        {"chunks that are too much", with("Transfer-Encoding: chunked\r\n", "fff\r\n"), 413},
        {"a body that is too large", with("Content-Length: 1001\r\n"), 413},
        {"a header that is too large", with("X: " + std::string(kMaxHeader, 'x') + "\r\n"), 431},
        {"many headers", with([] {
             std::string headers;
             for (int i = 0; i < 2000; ++i) headers += "A:b\r\n";
             return headers;
         }()),
         431},
        {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"HTTP/3.7", "GET / HTTP/3.7\r\nHost: h\r\n\r\n", 505},
        {"HTTP/0.9", "GET /\r\n\r\n", 400},
        {"a proxy's method", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"a TLS client", "\x16\x03\x01\x02\x01\x01", 400},
        {"an unknown expectation", with("Expect: miracles\r\n"), 417},
        {"a compressed body", with("Content-Encoding: gzip\r\nContent-Length: 3\r\n", "abc"), 415},
    };
    return all;
}

}  // namespace

TEST_CASE("request reader: what is refused, and how; in one piece and byte by byte") {
    for (const Case& c : cases()) {
        CAPTURE(c.what);
        CHECK(outcome(c.bytes) == c.status);
        CHECK(slow_outcome(c.bytes) == c.status);
    }
}

TEST_CASE("request reader: a request is the same however its bytes come") {
    const std::string bytes =
        "POST /a%2Fb/c%20d?x=%31&y HTTP/1.1\r\nHost: h\r\nX-Name:  v w \r\nx-name: second\r\n"
        "Transfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n1;x\r\n!\r\n0\r\nT: t\r\n\r\nrest";
    for (size_t piece = 1; piece <= bytes.size(); ++piece) {
        CAPTURE(piece);
        RequestReader reader(kMaxHeader, kMaxBody);
        size_t at = 0;
        while (reader.state() != RequestReader::State::done) {
            REQUIRE(at < bytes.size());
            reader.feed(std::string_view(bytes).substr(at, piece));
            at += piece;
        }
        CHECK(reader.keep_alive());
        const http::Request request = reader.take();
        CHECK(request.method == "POST");
        CHECK(request.path == "/a/b/c d");
        CHECK(request.query == "x=%31&y");
        CHECK(request.body == "\r\n\r\n!");
        CHECK(request.header("X-NAME") == "v w");
        CHECK(request.headers.size() >= 4);
        CHECK(std::string("rest").starts_with(reader.take_rest()));
        CHECK(reader.state() == RequestReader::State::idle);
    }
}

TEST_CASE("request reader: who keeps the connection") {
    const auto keeps = [](std::string_view bytes) {
        RequestReader reader(kMaxHeader, kMaxBody);
        reader.feed(bytes);
        return reader.keep_alive();
    };
    CHECK(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(!keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    CHECK(!keeps("GET / HTTP/1.0\r\n\r\n"));
    CHECK(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}
