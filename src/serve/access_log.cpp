#include "serve/access_log.h"

#include <array>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace hadal::serve {

namespace {

std::string time_now() {
    const auto now = std::chrono::system_clock::now();
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm parts = {};
    gmtime_r(&seconds, &parts);
    std::array<char, 32> day;
    std::strftime(day.data(), day.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::array<char, 48> text;
    std::snprintf(text.data(), text.size(), "%s.%03dZ", day.data(), int(milliseconds % 1000));
    return text.data();
}

}  // namespace

std::string access_line(const http::Request& request, const http::Outcome& outcome,
                        const std::string& key) {
    using Json = nlohmann::ordered_json;
    constexpr size_t kPathBytes = 200;
    Json line = {{"time", time_now()},
                 {"id", request.id},
                 {"peer", request.peer},
                 {"method", request.method},
                 {"path", request.path.substr(0, kPathBytes)},
                 {"status", outcome.status},
                 {"bytes", outcome.body_bytes},
                 {"seconds", std::chrono::duration<double>(outcome.time).count()},
                 {"disconnected", outcome.disconnected}};
    if (!key.empty()) line["key"] = key;
    return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

AccessLog::AccessLog(const std::filesystem::path& file)
    : file_(file == "-" ? stderr : std::fopen(file.c_str(), "ae"),
            [](std::FILE* f) { return f == stderr ? 0 : std::fclose(f); }) {
    if (file_ == nullptr) {
        throw Error(Error::Kind::usage, concat("cannot write the access log: ", file.string(),
                                               " (--access-log takes a file, -, or off)"));
    }
}

void AccessLog::write(const std::string& line) {
    const std::lock_guard lock(mutex_);
    std::fprintf(file_.get(), "%s\n", line.c_str());
    std::fflush(file_.get());
}

}  // namespace hadal::serve
