// Any bytes as a tokenizer.json: refused with an Error, or a tokenizer whose ids give back the text
// and whose file can be written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view file(reinterpret_cast<const char*>(data), size);
    try {
        const hadal::text::Tokenizer tokenizer(
            hadal::text::parse_tokenizer(file, std::nullopt, "input"));
        const hadal::text::TokenizerContent again = hadal::text::parse_tokenizer(
            hadal::text::tokenizer_json(tokenizer.content()), std::nullopt, "output");
        if (again.tokens != tokenizer.content().tokens) std::abort();
        const std::string_view text = "The 12 caf\xC3\xA9s,\n\n it's.";
        if (tokenizer.decode(tokenizer.encode(text)) != text) std::abort();
    } catch (const hadal::Error&) {
    }
    return 0;
}
