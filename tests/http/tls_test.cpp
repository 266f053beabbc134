// The server over TLS, with a certificate made for the test.
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <atomic>
#include <memory>
#include <thread>

#include "checkpoint/temporary_directory.h"
#include "core/error.h"
#include "core/file_map.h"
#include "http/client.h"
#include "http/server.h"

using namespace hadal;
using namespace hadal::http;
using namespace std::chrono_literals;

namespace {

template <auto release>
struct Release {
    template <class T>
    void operator()(T* pointer) const {
        release(pointer);
    }
};

/// A key and a certificate of itself, as two files.
void write_certificate(const std::filesystem::path& certificate, const std::filesystem::path& key) {
    const std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>> pair(EVP_EC_gen("P-256"));
    const std::unique_ptr<X509, Release<X509_free>> x509(X509_new());
    ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
    X509_set_pubkey(x509.get(), pair.get());
    X509_NAME* name = X509_get_subject_name(x509.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x509.get(), name);
    REQUIRE(X509_sign(x509.get(), pair.get(), EVP_sha256()) > 0);
    FILE* file = std::fopen(certificate.c_str(), "w");
    PEM_write_X509(file, x509.get());
    std::fclose(file);
    file = std::fopen(key.c_str(), "w");
    PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
}

class TlsClient {
  public:
    explicit TlsClient(uint16_t port)
        : client_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_.get())) {
        SSL_set_fd(ssl_.get(), client_.socket());
        REQUIRE(SSL_connect(ssl_.get()) == 1);
    }
    void send(std::string_view bytes) {
        REQUIRE(SSL_write(ssl_.get(), bytes.data(), int(bytes.size())) == int(bytes.size()));
    }
    std::string receive_until(std::string_view end) {
        std::string all;
        char bytes[4096];
        while (all.find(end) == std::string::npos) {
            const int count = SSL_read(ssl_.get(), bytes, sizeof bytes);
            if (count <= 0) break;
            all.append(bytes, size_t(count));
        }
        return all;
    }

  private:
    test::Client client_;
    std::unique_ptr<SSL_CTX, Release<SSL_CTX_free>> context_;
    std::unique_ptr<SSL, Release<SSL_free>> ssl_;
};

struct Setting {
    Setting() {
        write_certificate(folder / "cert.pem", folder / "key.pem");
    }
    ServerOptions options() const {
        return {.tls_certificate = folder / "cert.pem",
                .tls_key = folder / "key.pem",
                .header_timeout = 300ms};
    }
    test::TemporaryDirectory folder;
};

constexpr std::string_view kGet = "GET /x HTTP/1.1\r\nHost: test\r\n\r\n";

}  // namespace

TEST_CASE("tls: requests and streams as without it") {
    const Setting setting;
    Server server(setting.options(), [](const std::shared_ptr<Exchange>& exchange) {
        exchange->begin_stream({.content_type = "text/plain"});
        exchange->write(std::string(200'000, 'x'));
        exchange->finish();
    });
    TlsClient client(server.port());
    for (int i = 0; i < 3; ++i) {
        client.send(kGet);
        const std::string answer = client.receive_until("\r\n0\r\n\r\n");
        CHECK(answer.starts_with("HTTP/1.1 200 OK"));
        CHECK(answer.size() > 200'000);
    }
    CHECK(server.connections() == 1);
}

TEST_CASE("tls: a client that goes away is noticed") {
    const Setting setting;
    std::atomic<bool> gone = false;
    std::shared_ptr<Exchange> held;
    Server server(setting.options(), [&](std::shared_ptr<Exchange> exchange) {
        exchange->on_disconnect([&] { gone = true; });
        exchange->begin_stream({});
        held = std::move(exchange);
    });
    {
        TlsClient client(server.port());
        client.send(kGet);
        client.receive_until("\r\n\r\n");
    }
    for (int i = 0; i < 2000 && !gone; ++i) std::this_thread::sleep_for(5ms);
    CHECK(gone);
}

TEST_CASE("tls: who does not speak it is hung up on, at once or when time is over") {
    const Setting setting;
    Server server(setting.options(), [](const std::shared_ptr<Exchange>&) {});
    test::Client plain(server.port());
    plain.send(kGet);
    plain.receive_all();
    CHECK(plain.hung_up());
    test::Client silent(server.port());
    CHECK(silent.receive_all() == "");
    CHECK(silent.hung_up());
}

TEST_CASE("tls: a key of another certificate is refused before anybody connects") {
    const Setting setting, other;
    ServerOptions options = setting.options();
    options.tls_key = other.folder / "key.pem";
    CHECK_THROWS_WITH_AS(Server(options, [](const std::shared_ptr<Exchange>&) {}),
                         doctest::Contains("key.pem"), Error);
    write_file_atomically(setting.folder / "cert.pem", "no certificate\n");
    CHECK_THROWS_WITH_AS(Server(setting.options(), [](const std::shared_ptr<Exchange>&) {}),
                         doctest::Contains("cert.pem"), Error);
}
