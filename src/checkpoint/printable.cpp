#include "checkpoint/printable.h"

namespace hadal::checkpoint {

std::string printable(std::string_view name) {
    constexpr size_t kLongest = 200;
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text = "'";
    for (const char c : name.substr(0, kLongest)) {
        const auto code = static_cast<unsigned char>(c);
        if (code >= 0x20 && code != 0x7F) {
            text += c;
        } else {
            text += {'\\', 'x', kDigits[code >> 4], kDigits[code & 15]};
        }
    }
    return text + (name.size() > kLongest ? "…'" : "'");
}

}  // namespace hadal::checkpoint
