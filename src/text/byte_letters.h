// The alphabet in which byte-level BPE files write bytes: each of the 256 bytes as one printable
// character (Radford et al. 2019, GPT-2), so that a token is text whatever bytes it stands for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal::text {

/// "Ġhello" for " hello".
std::string to_byte_letters(std::string_view bytes);

/// The bytes that `letters` stand for; nothing if a character is outside the alphabet.
std::optional<std::string> from_byte_letters(std::string_view letters);

/// All bytes in the order of their letters' code points: the order in which vocabularies list them.
std::array<uint8_t, 256> bytes_in_letter_order();

}  // namespace hadal::text
