#include "serve/page.h"

#include <openssl/evp.h>

#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace hadal::serve {

namespace {

/// "'sha256-…'" as a Content-Security-Policy writes it.
std::string hash_source(std::string_view text) {
    std::vector<unsigned char> digest(EVP_MAX_MD_SIZE);
    unsigned int size = 0;
    REQUIRE(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
    std::vector<unsigned char> base64(4 * ((size + 2) / 3) + 1);
    const int written = EVP_EncodeBlock(base64.data(), digest.data(), int(size));
    return "'sha256-" + std::string(base64.begin(), base64.begin() + written) + "'";
}

/// What stands between `open`, the end of that tag, and `close`; there must be one such element.
std::string_view only_element(std::string_view html, std::string_view open,
                              std::string_view close) {
    const size_t tag = html.find(open);
    REQUIRE(tag != std::string_view::npos);
    const size_t begin = html.find('>', tag) + 1;
    const size_t end = html.find(close, begin);
    REQUIRE(end != std::string_view::npos);
    CHECK(html.find(open, end) == std::string_view::npos);
    return html.substr(begin, end - begin);
}

/// The part of a policy after its name: "script-src".
std::string_view directive(std::string_view policy, std::string_view name) {
    const size_t begin = policy.find(std::string(name) + " ");
    REQUIRE(begin != std::string_view::npos);
    const size_t value = begin + name.size() + 1;
    return policy.substr(value, policy.find(';', value) - value);
}

/// Every http and https address in a text, as far as letters that addresses have go.
std::set<std::string> addresses(std::string_view text) {
    std::set<std::string> found;
    for (size_t at = 0; (at = text.find("://", at)) != std::string_view::npos; ++at) {
        const size_t begin = text.find_last_of("\"'`( ,;=/", at - 1) + 1;
        const size_t end = text.find_first_of("\"'`)<> ,;\\", at);
        found.emplace(text.substr(begin, end - begin));
    }
    return found;
}

}  // namespace

TEST_CASE("page: the policy permits the page's own script and style, and no others") {
    for (const Page& page : kPages) {
        CAPTURE(page.name);
        const std::string_view policy = page.content_security_policy;
        const auto script = only_element(page.html, "<script", "</script>");
        const auto style = only_element(page.html, "<style", "</style>");
        CHECK(script.size() > 1000);
        CHECK(directive(policy, "script-src") == hash_source(script));
        CHECK(directive(policy, "style-src") == hash_source(style));
        CHECK(directive(policy, "default-src") == "'none'");
        CHECK(directive(policy, "connect-src") == "'self'");
        CHECK(directive(policy, "base-uri") == "'none'");
        CHECK(directive(policy, "form-action") == "'none'");
        CHECK(directive(policy, "frame-ancestors") == "'none'");
        CHECK(policy.find("unsafe") == std::string_view::npos);
        CHECK(policy.find_first_of("\r\n*") == std::string_view::npos);
    }
}

TEST_CASE("page: names no address but those of namespaces") {
    const std::set<std::string> names = {
        "http://www.w3.org/1998/Math/MathML",
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
        "http://",  // put before "www.…" in Markdown, for a link to press
        "https://github.com/markedjs/marked.",  // in the text of an error
    };
    for (const Page& page : kPages) {
        for (const std::string& address : addresses(page.html)) {
            CAPTURE(page.name);
            CAPTURE(address);
            CHECK(names.count(address) == 1);
        }
    }
}

TEST_CASE("page: loads no file besides itself") {
    for (const Page& page : kPages) {
        for (const char* reference :
             {"<link rel=\"stylesheet\"", "<link rel=\"preload\"", "<link rel=\"modulepreload\"",
              "<script src", "<iframe", "sourceMappingURL"}) {
            CAPTURE(page.name);
            CAPTURE(reference);
            CHECK(page.html.find(reference) == std::string_view::npos);
        }
        const std::string_view style = only_element(page.html, "<style", "</style>");
        CHECK(style.find("@import") == std::string_view::npos);
        CHECK(style.find("url(") == std::string_view::npos);
    }
}

TEST_CASE("page: small enough to be sent at every visit") {
    CHECK(page("chat").html.size() < 340 * 1024);
    CHECK(page("plan").html.size() < 120 * 1024);
}

}  // namespace hadal::serve
