#include "http/server.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "http/client.h"

using namespace hadal;
using namespace hadal::http;
using test::Client;
using namespace std::chrono_literals;

namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

/// Echoes what a request was; some paths behave otherwise.
class Echo {
  public:
    explicit Echo(ServerOptions options = {})
        : server_(with_log(std::move(options)),
                  [this](ExchangePtr exchange) { answer(exchange); }) {}

    Client client() {
        return Client(server_.port());
    }
    Server& server() {
        return server_;
    }
    /// The exchange of the next "/hold", whose answer is the test's to give.
    ExchangePtr held() {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, 20s, [&] { return held_ != nullptr; }));
        return std::exchange(held_, nullptr);
    }
    /// Waits until `count` requests have been answered.
    std::vector<Outcome> outcomes(size_t count) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, 20s, [&] { return outcomes_.size() >= count; });
        return outcomes_;
    }

  private:
    ServerOptions with_log(ServerOptions options) {
        options.on_answered = [this](const Request&, const Outcome& outcome) {
            const std::lock_guard lock(mutex_);
            outcomes_.push_back(outcome);
            changed_.notify_all();
        };
        return options;
    }
    void answer(const ExchangePtr& exchange) {
        const Request& request = exchange->request();
        if (request.path == "/throw") throw std::runtime_error("secret");
        if (request.path == "/drop") return;
        if (request.path == "/drop-stream") {
            exchange->begin_stream({.content_type = "text/plain"});
            return exchange->write("half");
        }
        if (request.path == "/stream") {
            exchange->begin_stream({.content_type = "text/event-stream"});
            for (const char* word : {"one", "two", "three"}) exchange->write(word);
            return exchange->finish();
        }
        if (request.path == "/hold") {
            const std::lock_guard lock(mutex_);
            held_ = exchange;
            return changed_.notify_all();
        }
        exchange->send({.content_type = "text/plain",
                        .body = concat(request.method, " ", request.path, " ", request.query, " ",
                                       request.body)});
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    ExchangePtr held_;
    std::vector<Outcome> outcomes_;
    Server server_;  // last: its threads use the others
};

std::string get(std::string_view path, std::string_view headers = "") {
    return concat("GET ", path, " HTTP/1.1\r\nHost: test\r\n", headers, "\r\n");
}
std::string post(std::string_view path, std::string_view body) {
    return concat("POST ", path, " HTTP/1.1\r\nHost: test\r\nContent-Length: ", body.size(),
                  "\r\n\r\n", body);
}
int status_of(std::string_view answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(std::string(answer.substr(9, 3))) : 0;
}

}  // namespace

TEST_CASE("server: answers a request, and the next on the same connection") {
    Echo echo;
    Client client = echo.client();
    client.send(get("/a%20b?x=1"));
    const std::string first = client.receive_until("GET /a b x=1 ");
    CHECK(status_of(first) == 200);
    CHECK(first.find("Connection: keep-alive") != std::string::npos);
    CHECK(first.find("X-Request-Id: ") != std::string::npos);
    client.send(post("/c", "hello"));
    CHECK(client.receive_until("POST /c  hello").ends_with("POST /c  hello"));
    const auto outcomes = echo.outcomes(2);
    REQUIRE(outcomes.size() == 2);
    CHECK(outcomes[1].status == 200);
    CHECK(outcomes[1].body_bytes == 14);
    CHECK(!outcomes[1].disconnected);
}

TEST_CASE("server: a request may come in any pieces") {
    Echo echo;
    const std::string request = post("/pieces", "0123456789");
    for (const size_t size : {size_t(1), size_t(7), size_t(50)}) {
        CAPTURE(size);
        Client client = echo.client();
        for (size_t begin = 0; begin < request.size(); begin += size) {
            client.send(std::string_view(request).substr(begin, size));
            if (size > 1) std::this_thread::sleep_for(1ms);
        }
        CHECK(client.receive_until("0123456789").ends_with("POST /pieces  0123456789"));
    }
}

TEST_CASE("server: requests sent ahead are answered in their order") {
    Echo echo;
    Client client = echo.client();
    std::string requests;
    for (int i = 0; i < 200; ++i) requests += get(concat("/n", i));
    client.send(requests);
    for (int i = 0; i < 200; ++i) {
        CAPTURE(i);
        CHECK(client.receive_until(concat("GET /n", i, "  ")).ends_with(concat("GET /n", i, "  ")));
    }
}

TEST_CASE("server: a body in chunks") {
    Echo echo;
    Client client = echo.client();
    client.send(
        "POST /chunks HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n6;name=value\r\n world\r\n0\r\n\r\n");
    CHECK(client.receive_until("hello world").ends_with("POST /chunks  hello world"));
}

TEST_CASE("server: a client that asks first is told to go on") {
    Echo echo;
    Client client = echo.client();
    client.send(
        "POST /big HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    CHECK(client.receive_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    CHECK(client.receive_until("body").ends_with("POST /big  body"));
}

TEST_CASE("server: a stream comes in chunks, and the connection stays") {
    Echo echo;
    Client client = echo.client();
    client.send(get("/stream"));
    const std::string stream = client.receive_until("0\r\n\r\n");
    CHECK(stream.find("Transfer-Encoding: chunked") != std::string::npos);
    CHECK(stream.ends_with("3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"));
    client.send(get("/after"));
    CHECK(client.receive_until("/after").ends_with("GET /after"));
}

TEST_CASE("server: to HTTP/1.0 a stream ends with the connection") {
    Echo echo;
    Client client = echo.client();
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    const std::string stream = client.receive_all();
    CHECK(stream.find("chunked") == std::string::npos);
    CHECK(stream.ends_with("\r\n\r\nonetwothree"));
    CHECK(client.hung_up());
}

TEST_CASE("server: HEAD has the head of GET and nothing behind it") {
    Echo echo;
    Client client = echo.client();
    client.send("HEAD /h HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client.receive_until("\r\n\r\n").find("Content-Length: 9\r\n") != std::string::npos);
    client.send("HEAD /stream HTTP/1.1\r\nHost: test\r\n\r\n");
    client.receive_until("\r\n\r\n");
    client.send(get("/next"));
    CHECK(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("server: Connection: close is kept") {
    Echo echo;
    Client client = echo.client();
    client.send(get("/last", "Connection: close\r\n"));
    const std::string answer = client.receive_all();
    CHECK(answer.find("Connection: close") != std::string::npos);
    CHECK(client.hung_up());
}

TEST_CASE("server: what is no request gets a 4xx or 505 and the end of the connection") {
    Echo echo({.max_header_bytes = 2048, .max_body_bytes = 1000});
    const std::string host = "Host: test\r\n";
    const std::vector<std::pair<std::string, int>> all = {
        {"hello\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},  // no Host
        {"GET / HTTP/1.1\r\n" + host + host + "\r\n", 400},
        {"GET / HTTP/3.0\r\n" + host + "\r\n", 505},
        {"GET / HTTP/1.1\n" + host + "\n", 400},  // bare line feeds
        {"GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : test\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" + host + "Bad Name: x\r\n\r\n", 400},
        {std::string("GET / HTTP/1.1\r\nHost: te\0st\r\n\r\n", 30), 400},
        {"GET / HTTP/1.1\r\n" + host + "X: " + std::string(4000, 'x') + "\r\n\r\n", 431},
        {"GET /" + std::string(5000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 431},
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1001\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 4, 4\r\n\r\nbody", 400},
        // Two readers could see two different ends.
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400},
        {"POST / HTTP/1.1\r\n" + host +
             "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST / HTTP/1.1\r\n" + host +
             "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
         400},
        {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413},
    };
    for (const auto& [request, status] : all) {
        CAPTURE(request.substr(0, 200));
        Client client = echo.client();
        client.send(request);
        const std::string answer = client.receive_all();
        CHECK(status_of(answer) == status);
        CHECK(answer.find("Connection: close") != std::string::npos);
        CHECK(answer.find("{\"error\"") != std::string::npos);
        CHECK(client.hung_up());
    }
    Client client = echo.client();  // and the server lives
    client.send(get("/alive"));
    CHECK(client.receive_until("/alive").ends_with("/alive"));
}

TEST_CASE("server: a target may name the server too, as proxies write it") {
    Echo echo;
    Client client = echo.client();
    client.send(get("http://elsewhere:1/there"));
    CHECK(client.receive_until("/there").ends_with("GET /there"));
    Client broken = echo.client();
    broken.send(get("/%zz"));
    CHECK(status_of(broken.receive_all()) == 400);
}

TEST_CASE("server: who is slow with a request hears 408, who sends nothing is hung up on") {
    Echo echo({.idle_timeout = 200ms, .header_timeout = 100ms, .body_timeout = 100ms});
    Client half = echo.client();
    half.send("GET / HTTP/1.1\r\nHo");
    CHECK(status_of(half.receive_all()) == 408);
    Client body = echo.client();
    body.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc");
    CHECK(status_of(body.receive_all()) == 408);
    Client trickle = echo.client();  // a byte at a time does not move the deadline
    const auto begin = std::chrono::steady_clock::now();
    while (trickle.send("G") && std::chrono::steady_clock::now() - begin < 10s)
        std::this_thread::sleep_for(20ms);
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
    Client silent = echo.client();
    CHECK(silent.receive_all() == "");
    CHECK(silent.hung_up());
}

TEST_CASE("server: an answer may take its time; deadlines are the clients'") {
    Echo echo({.idle_timeout = 50ms, .header_timeout = 50ms, .body_timeout = 50ms});
    Client client = echo.client();
    client.send(get("/hold"));
    const ExchangePtr exchange = echo.held();
    std::this_thread::sleep_for(300ms);
    exchange->send({.body = "late"});
    CHECK(client.receive_until("late").ends_with("late"));
}

TEST_CASE("server: what a handler gets wrong is a 500 that says nothing of it") {
    Echo echo;
    for (const char* path : {"/throw", "/drop"}) {
        Client client = echo.client();
        client.send(get(path));
        const std::string answer = client.receive_until("\"}}\n");
        CHECK(status_of(answer) == 500);
        CHECK(answer.find("secret") == std::string::npos);
    }
    Client client = echo.client();
    client.send(get("/drop-stream"));
    const std::string stream = client.receive_all();
    CHECK(stream.ends_with("4\r\nhalf\r\n"));  // no last chunk: nobody takes it for whole
    CHECK(client.hung_up());
}

TEST_CASE("server: a client that goes away is noticed, while waiting and while reading") {
    Echo echo;
    for (const bool streaming : {false, true}) {
        std::atomic<int> gone = 0;
        ExchangePtr exchange;
        {
            Client client = echo.client();
            client.send(get("/hold"));
            exchange = echo.held();
            exchange->on_disconnect([&] { ++gone; });
            if (streaming) {
                exchange->begin_stream({});
                exchange->write("x");
                client.receive_until("1\r\nx\r\n");
            }
        }
        for (int i = 0; i < 2000 && gone == 0; ++i) std::this_thread::sleep_for(5ms);
        CHECK(gone == 1);
        exchange->write("to nobody");
        exchange->finish();
        int late = 0;
        exchange->on_disconnect([&] { ++late; });
        CHECK(late == 1);
    }
    const auto outcomes = echo.outcomes(2);
    REQUIRE(outcomes.size() == 2);
    CHECK(outcomes[0].disconnected);
    CHECK(outcomes[1].disconnected);
}

TEST_CASE("server: a slow reader's bytes wait and are counted, others are not slowed") {
    Echo echo;
    Client slow = echo.client();
    slow.send(get("/hold"));
    const ExchangePtr exchange = echo.held();
    exchange->begin_stream({});
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 32; ++i) exchange->write(block);  // more than the system's buffers take
    CHECK(exchange->unsent_bytes() > size_t(8) << 20);
    Client other = echo.client();
    other.send(get("/quick"));
    CHECK(other.receive_until("/quick").ends_with("/quick"));
    exchange->finish();
    const std::string all = slow.receive_until("\r\n0\r\n\r\n");
    CHECK(size_t(std::ranges::count(all, 'x')) == 32 * block.size());
    CHECK(exchange->unsent_bytes() == 0);
}

TEST_CASE("server: who takes nothing for too long is cut off") {
    Echo echo({.write_timeout = 200ms});
    Client client = echo.client();
    client.send(get("/hold"));
    const ExchangePtr exchange = echo.held();
    std::atomic<bool> gone = false;
    exchange->on_disconnect([&] { gone = true; });
    exchange->begin_stream({});
    for (int i = 0; i < 32; ++i) exchange->write(std::string(1 << 20, 'x'));
    for (int i = 0; i < 2000 && !gone; ++i) std::this_thread::sleep_for(5ms);
    CHECK(gone);
    CHECK(exchange->unsent_bytes() < size_t(32) << 20);
}

TEST_CASE("server: stop lets running answers end, and turns away the rest") {
    Echo echo;
    Client idle = echo.client(), busy = echo.client();
    idle.send(get("/x"));
    idle.receive_until("GET /x  ");
    busy.send(get("/hold"));
    const ExchangePtr exchange = echo.held();
    std::thread answering([&] {
        std::this_thread::sleep_for(100ms);
        exchange->send({.body = "the end"});
    });
    CHECK(echo.server().stop(20s));
    answering.join();
    CHECK(busy.receive_until("the end").ends_with("the end"));
    CHECK(idle.receive_all() == "");
    CHECK(idle.hung_up());
    CHECK(echo.server().connections() == 0);
}

TEST_CASE("server: stop cuts off what does not end in time") {
    Echo echo;
    Client client = echo.client();
    client.send(get("/hold"));
    const ExchangePtr exchange = echo.held();
    CHECK(!echo.server().stop(50ms));
    CHECK(client.receive_all() == "");
    exchange->send({.body = "too late"});  // harmless
}

TEST_CASE("server: more connections than allowed hear 503, and room is made again") {
    Echo echo({.max_connections = 2});
    {
        Client one = echo.client(), two = echo.client();
        one.send(get("/1"));
        two.send(get("/2"));
        one.receive_until("/1");
        two.receive_until("/2");
        Client three = echo.client();
        const std::string answer = three.receive_all();
        CHECK(status_of(answer) == 503);
        CHECK(answer.find("Retry-After") != std::string::npos);
    }
    for (int i = 0; i < 2000 && echo.server().connections() > 0; ++i)
        std::this_thread::sleep_for(5ms);
    Client four = echo.client();
    four.send(get("/4"));
    CHECK(four.receive_until("/4").ends_with("/4"));
}

TEST_CASE("server: hundreds of open streams, two threads") {
    constexpr size_t kStreams = 300;
    std::mutex mutex;
    std::vector<ExchangePtr> streams;
    Server server({}, [&](ExchangePtr exchange) {
        exchange->begin_stream({});
        const std::lock_guard lock(mutex);
        streams.push_back(std::move(exchange));
    });
    std::vector<Client> clients;
    for (size_t i = 0; i < kStreams; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(get("/"));
    }
    for (Client& client : clients) client.receive_until("\r\n\r\n");
    const std::lock_guard lock(mutex);
    REQUIRE(streams.size() == kStreams);
    for (int round = 0; round < 3; ++round) {
        for (const ExchangePtr& stream : streams) stream->write("tick");
        for (Client& client : clients) CHECK(client.receive_until("tick\r\n") == "4\r\ntick\r\n");
    }
    for (const ExchangePtr& stream : streams) stream->finish();
    for (Client& client : clients) CHECK(client.receive_until("\r\n\r\n") == "0\r\n\r\n");
}

TEST_CASE("server: an address that cannot be had is said in one line") {
    Server first({}, [](const ExchangePtr&) {});
    CHECK_THROWS_WITH_AS(Server({.port = first.port()}, [](const ExchangePtr&) {}),
                         doctest::Contains("cannot listen on 127.0.0.1"), Error);
    CHECK_THROWS_AS(Server({.host = "no such host !"}, [](const ExchangePtr&) {}), Error);
    CHECK_THROWS_WITH_AS(Server({.tls_certificate = "a.pem"}, [](const ExchangePtr&) {}),
                         doctest::Contains("both files"), Error);
    CHECK_THROWS_WITH_AS(Server({.tls_certificate = "/nowhere.pem", .tls_key = "/nowhere.key"},
                                [](const ExchangePtr&) {}),
                         doctest::Contains("/nowhere.pem"), Error);
}
