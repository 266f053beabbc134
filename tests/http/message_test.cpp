#include "http/message.h"

#include <doctest/doctest.h>

using namespace hadal::http;

TEST_CASE("message: a head has status, type, length and the request's id") {
    const std::string text =
        head_text({.status = 200, .body = "{}"}, Framing::length, true, "id-1");
    CHECK(text ==
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
          "Connection: keep-alive\r\nX-Request-Id: id-1\r\n\r\n");
    const std::string stream =
        head_text({.status = 429, .content_type = "text/plain", .headers = {{"Retry-After", "3"}}},
                  Framing::chunked, false, {});
    CHECK(stream ==
          "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\n"
          "Transfer-Encoding: chunked\r\nConnection: close\r\nRetry-After: 3\r\n\r\n");
}

TEST_CASE("message: nothing in a header's value begins another header") {
    const std::string text = head_text({.headers = {{"X", "a\r\nSet-Cookie: b\r\n\r\nbody"}}},
                                       Framing::length, true, {});
    CHECK(text.find("\r\nSet-Cookie") == std::string::npos);
    CHECK(text.find("X: a  Set-Cookie: b    body\r\n\r\n") != std::string::npos);
}

TEST_CASE("message: chunks") {
    CHECK(chunk_text("0123456789abcdefg") == "11\r\n0123456789abcdefg\r\n");
    CHECK(chunk_text("") == "");  // an empty chunk would end the body
}

TEST_CASE("message: targets") {
    const auto target = parse_target("/v1/a%20b%2Fc?x=%31&y");
    REQUIRE(target);
    CHECK(target->path == "/v1/a b/c");
    CHECK(target->query == "x=%31&y");
    CHECK(parse_target("/")->path == "/");
    CHECK(parse_target("/?")->query == "");
    for (const char* broken : {"", "*", "http://host/", "v1", "/%", "/%4", "/%zz", "/a%00b"}) {
        CAPTURE(broken);
        CHECK(!parse_target(broken));
    }
}

TEST_CASE("message: a request id is taken over if it is harmless") {
    CHECK(usable_request_id("req-12_3.A") == "req-12_3.A");
    CHECK(usable_request_id("") == "");
    CHECK(usable_request_id("a b") == "");
    CHECK(usable_request_id("a\nb") == "");
    CHECK(usable_request_id(std::string(129, 'a')) == "");
}
