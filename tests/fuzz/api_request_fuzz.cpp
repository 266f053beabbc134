// Any bytes as the body of a request: refused with an ApiError of a 4xx, or read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serve/anthropic_request.h"
#include "serve/api_error.h"
#include "serve/openai_request.h"

namespace {

template <class Parse>
void check(const Parse& parse, std::string_view body) {
    try {
        parse(body, hadal::serve::RequestLimits());
    } catch (const hadal::serve::ApiError& error) {
        if (error.status() < 400 || error.status() >= 500 || error.body().empty()) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    check(hadal::serve::parse_completion_request, body);
    check(hadal::serve::parse_chat_request, body);
    check(hadal::serve::parse_messages_request, body);
    return 0;
}
