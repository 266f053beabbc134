// A line of JSON for each request: who, what, how long, how it ended. Nothing of its text.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "http/server.h"

namespace hadal::serve {

/// `key`: the name of the key that was used.
std::string access_line(const http::Request& request, const http::Outcome& outcome,
                        const std::string& key);

class AccessLog {
  public:
    /// Appends to the file; "-" is standard error. Error(io) if it cannot be written.
    explicit AccessLog(const std::filesystem::path& file);

    /// From any thread.
    void write(const std::string& line);

  private:
    std::mutex mutex_;
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace hadal::serve
