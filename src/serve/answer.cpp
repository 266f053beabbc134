#include "serve/answer.h"

namespace hadal::serve {

std::string Answer::error(const ApiError& error) const {
    return error.body();
}

std::string Answer::failure(const ApiError& error) const {
    return event(error.body()) + event("[DONE]");
}

std::string event(const std::string& data) {
    return "data: " + data + "\n\n";
}

std::string finish_reason(infer::FinishReason reason) {
    switch (reason) {
        case infer::FinishReason::stop:
            return "stop";
        case infer::FinishReason::length:
            return "length";
        case infer::FinishReason::cancelled:
            return "abort";
        case infer::FinishReason::error:
            break;
    }
    return "error";
}

}  // namespace hadal::serve
