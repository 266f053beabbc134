// Any bytes as a regular expression, an EBNF grammar, a JSON schema: each becomes a grammar or one
// line of error, and a random walk through what the grammar allows never meets a dead end that a
// mask allowed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "core/random.h"
#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "grammar/token_mask.h"

namespace {

using namespace hadal::grammar;

void walk(const Grammar& grammar, std::string_view seed_text) {
    static const auto vocabulary = std::make_shared<const Vocabulary>(std::vector<std::string>{
        "a", "b", "ab", "\"", "{", "}", "{\"", "\":", "0", "12", " ", "\xC3"});
    TokenMasks masks(vocabulary, compile(grammar));
    hadal::RandomSequence random(seed_text.size());
    Position position = masks.start();
    for (int step = 0; step < 12; ++step) {
        const auto mask = masks.mask(position);
        if ((*mask)[0] == 0) return;
        auto id = int32_t(random.below(uint64_t(vocabulary->size())));
        while (((*mask)[0] >> id & 1) == 0) id = int32_t((id + 1) % vocabulary->size());
        position = masks.next_token(position, id);
        if (position == kDead) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0 || size > 2000) return 0;
    const std::string_view source(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        switch (data[0] % 3) {
            case 0:
                walk({.rules = {{"root", parse_regex(source)}}}, source);
                break;
            case 1:
                walk(parse_ebnf(source), source);
                break;
            default:
                walk(json_schema_grammar(source), source);
        }
    } catch (const hadal::Error& error) {
        if (std::string_view(error.what()).empty()) std::abort();
    }
    return 0;
}
