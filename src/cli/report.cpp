#include "cli/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace hadal::cli {

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Record& record) {
    Json object = Json::object();
    for (const auto& [name, value] : record.fields()) {
        std::visit([&object, &name = name](const auto& v) { object[name] = v; }, value);
    }
    return object;
}

std::string dump(const Json& json) {
    // A generated text may end inside a character.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// "671 026 419 200": groups of three from five digits on.
std::string grouped(int64_t value) {
    std::string digits = std::to_string(value);
    const size_t sign = value < 0 ? 1 : 0;
    if (digits.size() - sign < 5) return digits;
    for (size_t i = digits.size(); i > sign + 3; i -= 3) digits.insert(i - 3, " ");
    return digits;
}

std::string for_people(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

template <class T>
std::string list_for_people(const std::vector<T>& values) {
    std::string text;
    for (const T& value : values) {
        if (!text.empty()) text += ' ';
        if constexpr (std::same_as<T, double>) {
            text += for_people(value);
        } else {
            text += std::to_string(value);
        }
    }
    return text;
}

std::string for_people(const Value& value) {
    struct Visitor {
        std::string operator()(bool v) const {
            return v ? "yes" : "no";
        }
        std::string operator()(int64_t v) const {
            return grouped(v);
        }
        std::string operator()(double v) const {
            return for_people(v);
        }
        std::string operator()(const std::string& v) const {
            return v;
        }
        std::string operator()(const std::vector<int64_t>& v) const {
            return list_for_people(v);
        }
        std::string operator()(const std::vector<double>& v) const {
            return list_for_people(v);
        }
    };
    return std::visit(Visitor(), value);
}

void append_cell(std::string& line, const std::string& cell, size_t width, bool right) {
    const std::string space(width > cell.size() ? width - cell.size() : 0, ' ');
    if (!line.empty()) line += "  ";
    line += right ? space + cell : cell + space;
}

/// Rows under a heading; the columns are those of the first row. Figures stand to the right.
std::string table_text(const std::vector<Record>& rows) {
    std::vector<size_t> widths;
    for (const auto& [name, value] : rows.front().fields()) widths.push_back(name.size());
    for (const Record& row : rows) {
        for (size_t i = 0; i < row.fields().size() && i < widths.size(); ++i) {
            widths[i] = std::max(widths[i], for_people(row.fields()[i].second).size());
        }
    }
    std::string text, heading;
    const auto& first = rows.front().fields();
    for (size_t i = 0; i < first.size(); ++i) {
        append_cell(heading, first[i].first, widths[i], first[i].second.index() != 3);
    }
    text += heading + "\n";
    for (const Record& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.fields().size() && i < widths.size(); ++i) {
            const Value& value = row.fields()[i].second;
            append_cell(line, for_people(value), widths[i], value.index() != 3);
        }
        text += line + "\n";
    }
    return text;
}

void print(std::string_view text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (!written || std::fflush(stdout) != 0) {
        throw Error(Error::Kind::io,
                    "standard output cannot be written (is its reader gone, or the disk full?)");
    }
}

}  // namespace

Record& Record::add_bool(std::string_view name, bool value) {
    fields_.emplace_back(name, value);
    return *this;
}

Record& Record::add_integer(std::string_view name, int64_t value) {
    fields_.emplace_back(name, value);
    return *this;
}

Record& Record::add(std::string_view name, double value) {
    fields_.emplace_back(name, value);
    return *this;
}

Record& Record::add(std::string_view name, std::string_view value) {
    fields_.emplace_back(name, std::string(value));
    return *this;
}

Record& Record::add(std::string_view name, const char* value) {
    fields_.emplace_back(name, std::string(value));
    return *this;
}

Record& Record::add(std::string_view name, std::vector<int64_t> values) {
    fields_.emplace_back(name, std::move(values));
    return *this;
}

Record& Record::add(std::string_view name, std::vector<double> values) {
    fields_.emplace_back(name, std::move(values));
    return *this;
}

void Report::add_row(std::string_view table, Record row) {
    const auto found = std::ranges::find(tables_, table, &Table::name);
    if (found != tables_.end()) {
        found->rows.push_back(std::move(row));
    } else {
        tables_.push_back({std::string(table), {std::move(row)}});
    }
}

void Report::say(std::string_view text) const {
    if (!json_) print(concat(text, "\n"));
}

void Report::say_part(std::string_view text) const {
    if (!json_) print(text);
}

void Report::emit(const Record& line) const {
    if (json_) print(json_text(line) + "\n");
}

std::string Report::text() const {
    if (json_) {
        Json object = to_json(summary_);
        for (const Table& table : tables_) {
            Json& array = object[table.name] = Json::array();
            for (const Record& row : table.rows) array.push_back(to_json(row));
        }
        return object.empty() ? "" : dump(object) + "\n";
    }
    size_t width = 0;
    for (const auto& [name, value] : summary_.fields()) width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : summary_.fields()) {
        text += concat(name, std::string(width - name.size() + 2, ' '), for_people(value), "\n");
    }
    for (const Table& table : tables_) {
        if (!text.empty()) text += "\n";
        text += table_text(table.rows);
    }
    return text;
}

void Report::finish() const {
    print(text());
}

std::string json_text(const Record& record) {
    return dump(to_json(record));
}

}  // namespace hadal::cli
