// A 64-bit hash of bytes for finding equal content and for manifests: fast, the same on every
// machine. Not against an adversary: who needs certainty compares the bytes too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::data {

uint64_t content_hash(std::string_view bytes, uint64_t seed = 0);

/// Sixteen hexadecimal digits, as manifests store it.
std::string hash_text(uint64_t hash);

}  // namespace hadal::data
