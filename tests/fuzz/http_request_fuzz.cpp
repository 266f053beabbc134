// Any bytes as what a client sends: refused with a status, or requests; the same ones whether the
// bytes come at once or one by one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/request_reader.h"

namespace {

using hadal::http::RequestReader;

struct Outcome {
    std::vector<std::string> requests;
    int status = 0;

    bool operator==(const Outcome&) const = default;
};

Outcome outcome(std::string_view bytes, size_t piece) {
    constexpr size_t kMaxHeader = 512, kMaxBody = 256;
    RequestReader reader(kMaxHeader, kMaxBody);
    Outcome result;
    try {
        for (size_t at = 0; at < bytes.size(); at += piece) {
            std::string next(bytes.substr(at, piece));
            while (!next.empty()) {
                reader.feed(next);
                next.clear();
                if (reader.state() != RequestReader::State::done) break;
                const hadal::http::Request request = reader.take();
                next = reader.take_rest();
                if (request.body.size() > kMaxBody) std::abort();
                std::string text = request.method + "\n" + request.path + "\n" + request.query;
                for (const auto& [name, value] : request.headers) text += name + value + "\n";
                result.requests.push_back(text + request.body);
            }
        }
    } catch (const hadal::http::RequestError& error) {
        result.status = error.status();
        if (result.status < 400 || result.status > 599) std::abort();
    }
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const Outcome whole = outcome(bytes, size + 1), slow = outcome(bytes, 1);
    // Of two faults in one input, another may be met first.
    if (whole.requests != slow.requests || (whole.status == 0) != (slow.status == 0)) std::abort();
    return 0;
}
