// TensorBoard's event file, written by hand: records of {u64 length, u32 masked CRC of it, bytes,
// u32 masked CRC of them}, little-endian, each an Event message of
// tensorflow/core/util/event.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hadal::train {

/// CRC-32C (Castagnoli) of the bytes.
uint32_t crc32c(std::string_view bytes);
/// As a record stores it: rotated and shifted, so that the CRC of data that holds CRCs stays good.
uint32_t masked_crc32c(std::string_view bytes);

/// One record around `data`.
std::string event_record(std::string_view data);
/// Event{wall_time, file_version "brain.Event:2"}: the first of every file.
std::string file_version_event(double wall_time);
/// Event{wall_time, step, session_log START}: readers drop what older files have from this step on.
std::string session_start_event(double wall_time, int64_t step);
/// Event{wall_time, step, summary of scalars}.
std::string scalars_event(double wall_time, int64_t step,
                          std::span<const std::pair<std::string, double>> scalars);

class TensorboardWriter {
  public:
    /// Creates DIRECTORY/events.out.tfevents.<seconds>.hadal; `first_step` is the next step of this
    /// run.
    TensorboardWriter(const std::filesystem::path& directory, double wall_time, int64_t first_step);

    void add(double wall_time, int64_t step,
             std::span<const std::pair<std::string, double>> scalars);

  private:
    void write(std::string_view event);

    std::filesystem::path path_;
    std::ofstream file_;
};

}  // namespace hadal::train
