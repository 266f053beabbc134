#include "serve/access.h"

#include <doctest/doctest.h>

#include "core/error.h"

using namespace hadal;
using serve::ApiKeys;
using serve::CrossOrigin;

namespace {

http::Request with_header(const std::string& name, const std::string& value) {
    http::Request request;
    request.method = "GET";
    request.headers = {{name, value}};
    return request;
}

std::string header(const CrossOrigin::Headers& headers, std::string_view name) {
    for (const auto& [key, value] : headers) {
        if (key == name) return value;
    }
    return "";
}

}  // namespace

TEST_CASE("access: keys of the file are good in either header, whole and exact only") {
    const ApiKeys keys = ApiKeys::parse("# keys\n\n  sk-one\talice  \r\nsk-two\n", "keys");
    const auto name = [&](const std::string& header, const std::string& value) {
        return keys.name_of(with_header(header, value));
    };
    CHECK(name("Authorization", "Bearer sk-one") == "alice");
    CHECK(name("authorization", "bearer sk-two") == "");
    CHECK(name("X-Api-Key", "sk-one") == "alice");
    for (const char* wrong : {"sk-on", "sk-one ", "sk-onee", "SK-ONE", "", "alice", "# keys"}) {
        CAPTURE(wrong);
        CHECK(!name("Authorization", std::string("Bearer ") + wrong));
        CHECK(!name("X-Api-Key", wrong));
    }
    CHECK(!name("Authorization", "sk-one"));
    CHECK(!name("Authorization", "Basic sk-one"));
    CHECK(!name("Cookie", "sk-one"));
}

TEST_CASE("access: a file without keys, or with one that no client can send, is refused") {
    for (const char* text : {"", "\n\n", "# only this\n", "sk-\x01\n", "schl\xc3\xbcssel\n"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(ApiKeys::parse(text, "keys"), Error);
    }
    CHECK(ApiKeys().empty());
}

TEST_CASE("access: pages of origins that are not named get no headers") {
    const CrossOrigin none, one({"https://a.example", "https://b.example"}), any({"*"});
    const auto of = [](const CrossOrigin& origins, const std::string& origin) {
        return header(origins.headers(with_header("Origin", origin)),
                      "Access-Control-Allow-Origin");
    };
    CHECK(of(none, "https://a.example").empty());
    CHECK(of(one, "https://a.example") == "https://a.example");
    CHECK(of(one, "https://b.example") == "https://b.example");
    CHECK(of(one, "https://a.example.evil").empty());
    CHECK(of(one, "null").empty());
    CHECK(of(any, "https://evil") == "*");
    CHECK(one.headers(http::Request{}).empty());  // no browser asks
}

TEST_CASE("access: a page of another origin cannot have work done without reading the answer") {
    const CrossOrigin one({"https://a.example"});
    http::Request request = with_header("Origin", "https://b.example");
    request.method = "POST";
    CHECK(!one.refuses(request));  // no browser: it would have said where the page is from
    request.headers.emplace_back("Sec-Fetch-Site", "cross-site");
    CHECK(one.refuses(request));
    request.headers[0].second = "https://a.example";
    CHECK(!one.refuses(request));
    request.headers = {{"Origin", "https://b.example"}, {"Sec-Fetch-Site", "same-origin"}};
    CHECK(!one.refuses(request));  // behind a proxy with a name of its own
    request.headers = {{"Sec-Fetch-Site", "cross-site"}};
    CHECK(one.refuses(request));
    request.method = "GET";
    CHECK(!one.refuses(request));  // a link to the page
}

TEST_CASE("access: a browser that asks first is told what it may send") {
    const CrossOrigin one({"https://a.example"});
    http::Request request = with_header("Origin", "https://a.example");
    CHECK(!one.preflight(request));
    request.method = "OPTIONS";
    request.headers.emplace_back("Access-Control-Request-Headers", "authorization, x-own");
    const auto response = one.preflight(request);
    REQUIRE(response);
    CHECK(header(response->headers, "Access-Control-Allow-Headers") == "authorization, x-own");
    CHECK(header(response->headers, "Access-Control-Allow-Methods").find("POST") !=
          std::string::npos);
    request.headers[0].second = "https://b.example";
    CHECK(!one.preflight(request));
}
