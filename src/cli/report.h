// What a verb has to say: a table for people, or one JSON object under --json. Nothing reaches
// standard output before the verb ended well, except what it streams on purpose.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace hadal::cli {

/// A figure or a text of a report.
using Value =
    std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

/// Named values in order; a row of a table, or a line of a stream.
class Record {
  public:
    Record& add(std::string_view name, std::integral auto value) {
        if constexpr (std::same_as<decltype(value), bool>) return add_bool(name, value);
        return add_integer(name, int64_t(value));
    }
    Record& add(std::string_view name, double value);
    Record& add(std::string_view name, std::string_view value);
    Record& add(std::string_view name, const char* value);
    Record& add(std::string_view name, std::vector<int64_t> values);
    Record& add(std::string_view name, std::vector<double> values);

    const std::vector<std::pair<std::string, Value>>& fields() const {
        return fields_;
    }

  private:
    Record& add_bool(std::string_view name, bool value);
    Record& add_integer(std::string_view name, int64_t value);

    std::vector<std::pair<std::string, Value>> fields_;
};

class Report {
  public:
    explicit Report(bool json) : json_(json) {}

    bool json() const {
        return json_;
    }
    /// A figure: report.add("parameters", 12). Printed by finish().
    template <class T>
    void add(std::string_view name, T&& value) {
        summary_.add(name, std::forward<T>(value));
    }
    /// One more row of the table (JSON: array of objects) called `table`.
    void add_row(std::string_view table, Record row);

    /// At once, for verbs that stream: a line for people, which --json leaves out …
    void say(std::string_view text) const;
    /// … the same without a line's end …
    void say_part(std::string_view text) const;
    /// … and an object on a line of its own, only under --json.
    void emit(const Record& line) const;

    /// The text that finish() prints.
    std::string text() const;
    /// Error(io) if standard output is gone.
    void finish() const;

  private:
    struct Table {
        std::string name;
        std::vector<Record> rows;
    };

    bool json_;
    Record summary_;
    std::vector<Table> tables_;
};

/// One line of JSON.
std::string json_text(const Record& record);

}  // namespace hadal::cli
