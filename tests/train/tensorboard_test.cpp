#include "train/tensorboard.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace hadal::train;

namespace {

std::string hex(const std::string& bytes) {
    std::string text;
    for (const char c : bytes) {
        constexpr char kDigits[] = "0123456789abcdef";
        text += kDigits[uint8_t(c) >> 4];
        text += kDigits[uint8_t(c) & 15];
    }
    return text;
}

}  // namespace

TEST_CASE("crc32c: the published check values") {
    CHECK(crc32c("123456789") == 0xE3069283);              // the catalogue's check value
    CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);    // RFC 3720, B.4
    CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43);  // RFC 3720, B.4
    CHECK(crc32c("") == 0);
}

TEST_CASE("tensorboard: records equal those that a bitwise CRC and struct packing in Python give") {
    CHECK(hex(event_record(file_version_event(1.5))) ==
          "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a"
          "322a28646c");
    const std::vector<std::pair<std::string, double>> scalars = {{"train/loss", 2.25},
                                                                 {"lr", 1e-3}};
    CHECK(hex(event_record(scalars_event(1700000000.25, 300, scalars))) ==
          "2c00000000000000f4aecc450900001040fc54d94110ac022a1e0a110a0a747261696e"
          "2f6c6f737315000010400a090a026c72156f12833a1a7ff97a");
    CHECK(hex(event_record(session_start_event(2.0, 128))) ==
          "100000000000000095fbfe180900000000000000401080013a0208012b84f8ef");
}
