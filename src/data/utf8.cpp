#include "data/utf8.h"

#include "text/unicode.h"

namespace hadal::data {

int64_t invalid_utf8_bytes(std::string_view bytes) {
    int64_t invalid = 0;
    while (!bytes.empty()) {
        const text::Character character = text::decode_character(bytes);
        if (character.code == text::kInvalidCharacter) ++invalid;
        bytes.remove_prefix(character.bytes);
    }
    return invalid;
}

}  // namespace hadal::data
