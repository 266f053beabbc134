#include "train/tensorboard.h"

#include <array>
#include <bit>

#include "core/error.h"

namespace hadal::train {

namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
    constexpr uint32_t kCastagnoli = 0x82F63B78;  // reflected
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoli : 0);
        table[i] = crc;
    }
    return table;
}();

std::string little_endian(uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += char((value >> (8 * i)) & 0xFF);
    return text;
}

// Protocol buffers: a field is a varint of (number << 3 | wire type), then its value.
std::string varint(uint64_t value) {
    std::string text;
    for (; value >= 0x80; value >>= 7) text += char(value | 0x80);
    return text + char(value);
}

std::string varint_field(int number, uint64_t value) {
    return varint(uint64_t(number) << 3) + varint(value);
}

std::string double_field(int number, double value) {
    return varint(uint64_t(number) << 3 | 1) + little_endian(std::bit_cast<uint64_t>(value), 8);
}

std::string float_field(int number, float value) {
    return varint(uint64_t(number) << 3 | 5) + little_endian(std::bit_cast<uint32_t>(value), 4);
}

std::string bytes_field(int number, std::string_view value) {
    return varint(uint64_t(number) << 3 | 2) + varint(value.size()) + std::string(value);
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
    uint32_t crc = 0xFFFFFFFF;
    for (const char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ uint8_t(c)) & 0xFF];
    return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
    return std::rotr(crc32c(bytes), 15) + 0xA282EAD8;
}

std::string event_record(std::string_view data) {
    const std::string length = little_endian(data.size(), 8);
    return length + little_endian(masked_crc32c(length), 4) + std::string(data) +
           little_endian(masked_crc32c(data), 4);
}

std::string file_version_event(double wall_time) {
    return double_field(1, wall_time) + bytes_field(3, "brain.Event:2");
}

std::string session_start_event(double wall_time, int64_t step) {
    constexpr uint64_t kStart = 1;
    return double_field(1, wall_time) + varint_field(2, uint64_t(step)) +
           bytes_field(7, varint_field(1, kStart));
}

std::string scalars_event(double wall_time, int64_t step,
                          std::span<const std::pair<std::string, double>> scalars) {
    std::string summary;
    for (const auto& [tag, value] : scalars) {
        summary += bytes_field(1, bytes_field(1, tag) + float_field(2, float(value)));
    }
    return double_field(1, wall_time) + varint_field(2, uint64_t(step)) + bytes_field(5, summary);
}

TensorboardWriter::TensorboardWriter(const std::filesystem::path& directory, double wall_time,
                                     int64_t first_step) {
    // Readers take files in the order of their names; two runs within a second must not share one.
    auto seconds = int64_t(wall_time);
    do {
        path_ = directory / concat("events.out.tfevents.", seconds++, ".hadal");
    } while (std::filesystem::exists(path_));
    file_.open(path_, std::ios::binary);
    write(file_version_event(wall_time));
    write(session_start_event(wall_time, first_step));
}

void TensorboardWriter::add(double wall_time, int64_t step,
                            std::span<const std::pair<std::string, double>> scalars) {
    write(scalars_event(wall_time, step, scalars));
}

void TensorboardWriter::write(std::string_view event) {
    const std::string record = event_record(event);
    file_.write(record.data(), std::streamsize(record.size()));
    file_.flush();
    if (!file_) {
        throw Error(Error::Kind::io,
                    concat("cannot write ", path_.string(), " (is the disk full?)"));
    }
}

}  // namespace hadal::train
