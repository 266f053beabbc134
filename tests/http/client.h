// A client that sends exactly the bytes that a test says, well-formed or not.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::test {

class Client {
  public:
    explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        REQUIRE(socket_ >= 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    ~Client() {
        close();
    }
    Client(Client&& other) noexcept
        : socket_(other.socket_), received_(std::move(other.received_)) {
        other.socket_ = -1;
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void close() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
    }
    /// False if the server has hung up.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return false;
            bytes.remove_prefix(size_t(count));
        }
        return true;
    }
    /// All that has arrived when `end` is in it, or when the server has hung up, or after
    /// `at_most`.
    std::string receive_until(std::string_view end, std::chrono::milliseconds at_most = kPatience) {
        const auto last = std::chrono::steady_clock::now() + at_most;
        size_t searched = 0;
        while (received_.find(end, searched) == std::string::npos && !hung_up_) {
            searched = received_.size() - std::min(received_.size(), end.size());
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                last - std::chrono::steady_clock::now());
            pollfd wait{socket_, POLLIN, 0};
            if (left.count() <= 0 || ::poll(&wait, 1, int(left.count())) <= 0) break;
            char bytes[4096];
            const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
            if (count <= 0) {
                hung_up_ = true;
            } else {
                received_.append(bytes, size_t(count));
            }
        }
        const size_t found = received_.find(end);
        const size_t size = found == std::string::npos ? received_.size() : found + end.size();
        const std::string result = received_.substr(0, size);
        received_.erase(0, size);
        return result;
    }
    /// Everything until the server hangs up.
    std::string receive_all(std::chrono::milliseconds at_most = kPatience) {
        return receive_until("\xff\xff never sent \xff\xff", at_most);
    }
    bool hung_up() const {
        return hung_up_;
    }
    int socket() const {
        return socket_;
    }

  private:
    static constexpr std::chrono::milliseconds kPatience{20'000};  // far beyond what is expected
    int socket_;
    std::string received_;
    bool hung_up_ = false;
};

}  // namespace hadal::test
