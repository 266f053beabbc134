// A request that cannot be answered, as OpenAI's clients expect to hear of it.
#pragma once

#include <exception>
#include <string>

namespace hadal::serve {

/// {"error": {"message", "type", "param", "code"}} with an HTTP status. The message never repeats
/// the request and never names a file.
class ApiError : public std::exception {
  public:
    ApiError(int status, std::string message, std::string param = "", std::string code = "");

    /// A field of the request that cannot be used: 400.
    static ApiError field(std::string param, std::string message);

    const char* what() const noexcept override {
        return message_.c_str();
    }
    int status() const {
        return status_;
    }
    const std::string& param() const {
        return param_;
    }
    const std::string& code() const {
        return code_;
    }
    /// The JSON text.
    std::string body() const;

  private:
    int status_;
    std::string message_, param_, code_;
};

/// What another exception means to a client: a fault of the request where hadal::Error says so,
/// otherwise one of the server's, of which no more is told.
ApiError as_api_error(const std::exception& error);

}  // namespace hadal::serve
