// Any bytes as what a model writes: the first byte chooses the format, the second how the rest is
// cut into pieces. The parts are the same whole and in pieces.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "chat/output_parser.h"

namespace {

using hadal::chat::Delta;

/// The deltas, those of one kind in a row joined.
std::vector<std::string> parts(const hadal::chat::Format& format, bool thinks,
                               std::string_view text, size_t piece) {
    hadal::chat::OutputParser parser(format,
                                     {.thinks = thinks, .reads_calls = true, .call_id = "c"});
    std::vector<std::string> joined;
    int last = -1;
    const auto add = [&](const std::vector<Delta>& deltas) {
        for (const Delta& delta : deltas) {
            const bool begins = delta.kind == Delta::Kind::call_begins;
            if (begins || int(delta.kind) != last) joined.push_back(delta.id + delta.name + ":");
            joined.back() += delta.text;
            last = int(delta.kind);
        }
    };
    for (size_t begin = 0; begin < text.size(); begin += piece) {
        add(parser.feed(text.substr(begin, piece)));
    }
    add(parser.finish());
    return joined;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const hadal::chat::Format* formats[] = {&hadal::chat::kDeepSeekV3, &hadal::chat::kDeepSeekV31,
                                            &hadal::chat::kKimiK2, &hadal::chat::kGigaChat3,
                                            &hadal::chat::kGigaChat31};
    const hadal::chat::Format& format = *formats[data[0] % 5];
    const bool thinks = data[0] / 5 % 2 == 1;
    const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
    const auto whole = parts(format, thinks, text, text.size() + 1);
    if (parts(format, thinks, text, 1 + data[1] % 16) != whole) std::abort();
    return 0;
}
