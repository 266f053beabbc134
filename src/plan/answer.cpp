#include "plan/answer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <span>

#include "core/error.h"

namespace hadal::plan {

std::string_view name(Mark mark) {
    switch (mark) {
        case Mark::input:
            return "input";
        case Mark::calibration:
            return "calibration";
        case Mark::prediction:
            return "prediction";
    }
    return "";
}

const Figure* Answer::find(std::string_view key) const {
    for (const Section& section : sections) {
        for (const Figure& figure : section.figures) {
            if (figure.key == key) return &figure;
        }
    }
    return nullptr;
}

namespace {

struct Scale {
    double from;  // smallest size that it is used for
    double factor;
    std::string_view text;
};

constexpr Scale kSeconds[] = {{172800, 86400, "days"}, {7200, 3600, "h"},
                              {600, 60, "min"},        {1, 1, "s"},
                              {1e-3, 1e-3, "ms"},      {0, 1e-6, "µs"}};
constexpr Scale kBytes[] = {
    {1e12, 1e12, "TB"}, {1e9, 1e9, "GB"}, {1e6, 1e6, "MB"}, {1e3, 1e3, "kB"}, {0, 1, "B"}};
constexpr Scale kFlops[] = {{1e15, 1e15, "PFLOP"}, {1e12, 1e12, "TFLOP"}, {0, 1e9, "GFLOP"}};
constexpr Scale kFlopRate[] = {{0, 1e12, "TFLOP/s"}};
constexpr Scale kHours[] = {{1e6, 1e6, "M h"}, {1e3, 1e3, "K h"}, {0, 1, "h"}};
constexpr Scale kDollars[] = {{1e6, 1e6, "M"}, {1e4, 1e3, "K"}, {0, 1, ""}};
constexpr Scale kTokens[] = {{1e12, 1e12, "T tokens"},
                             {1e9, 1e9, "B tokens"},
                             {1e6, 1e6, "M tokens"},
                             {1e4, 1e3, "K tokens"},
                             {0, 1, "tokens"}};
constexpr Scale kRate[] = {{1e6, 1e6, "M token/s"}, {1e4, 1e3, "K token/s"}, {0, 1, "token/s"}};
constexpr Scale kEnergy[] = {{1e6, 1e6, "GWh"}, {1e3, 1e3, "MWh"}, {0, 1, "kWh"}};
constexpr Scale kMass[] = {{1e6, 1e6, "kt"}, {1e3, 1e3, "t"}, {0, 1, "kg"}};
constexpr Scale kCount[] = {{1e12, 1e12, "T"}, {1e9, 1e9, "B"}, {1e6, 1e6, "M"}, {0, 1, ""}};
constexpr Scale kShare[] = {{0, 0.01, "%"}};
constexpr Scale kDays[] = {{0, 1, "days"}};

std::span<const Scale> scales_of(std::string_view unit) {
    constexpr std::pair<std::string_view, std::span<const Scale>> kUnits[] = {
        {"s", kSeconds},  {"B", kBytes},   {"FLOP", kFlops},    {"FLOP/s", kFlopRate},
        {"h", kHours},    {"$", kDollars}, {"tokens", kTokens}, {"token/s", kRate},
        {"kWh", kEnergy}, {"kg", kMass},   {"", kCount},        {"share", kShare},
        {"days", kDays}};
    for (const auto& [name, scales] : kUnits) {
        if (name == unit) return scales;
    }
    return {};
}

std::string digits(double value) {
    char text[32];
    const double size = std::abs(value);
    if (size >= 1000 && size < 1e6) {
        std::snprintf(text, sizeof text, "%.0f", value);
    } else {
        std::snprintf(text, sizeof text, "%.4g", value);
    }
    return text;
}

}  // namespace

std::string quantity(double value, std::string_view unit) {
    if (!std::isfinite(value)) return "—";
    if (value == 0 && unit == "s") return "0 s";  // not of the smallest scale
    const std::span<const Scale> scales = scales_of(unit);
    if (scales.empty()) return concat(digits(value), unit.empty() ? "" : " ", unit);
    const double size = std::abs(value);
    for (const Scale& scale : scales) {
        if (size < scale.from * (1 - 1e-12) && &scale != &scales.back()) continue;
        return concat(unit == "$" ? "$" : "", digits(value / scale.factor),
                      scale.text.empty() ? "" : " ", scale.text);
    }
    return "";
}

namespace {

/// Columns that a terminal shows: bytes that begin a character.
size_t width(std::string_view text) {
    return size_t(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string spaces(size_t count) {
    return std::string(count, ' ');
}

/// Rows of cells under each other; the first column and those of words stand to the left.
class Grid {
  public:
    void add(std::vector<std::string> cells) {
        rows_.push_back(std::move(cells));
    }
    void left(size_t column) {
        left_.push_back(column);
    }
    std::string text(const std::string& indent) const {
        std::vector<size_t> widths;
        for (const auto& row : rows_) {
            widths.resize(std::max(widths.size(), row.size()));
            for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
        }
        std::string text;
        for (const auto& row : rows_) {
            std::string line = indent;
            for (size_t i = 0; i < row.size(); ++i) {
                const std::string space = spaces(widths[i] - width(row[i]));
                const bool to_left = std::ranges::find(left_, i) != left_.end();
                line += (i > 0 ? "  " : "") + (to_left ? row[i] + space : space + row[i]);
            }
            line.resize(line.find_last_not_of(' ') + 1);
            text += line + "\n";
        }
        return text;
    }

  private:
    std::vector<std::vector<std::string>> rows_;
    std::vector<size_t> left_ = {0};
};

std::string heading(const std::string& title) {
    std::string line = title + " ";
    for (size_t i = width(line); i < 78; ++i) line += "─";
    return "\n" + line + "\n";
}

std::string difference(const Figure& figure) {
    if (!figure.published) return "";
    char text[32];
    std::snprintf(text, sizeof text, "%+.1f %%",
                  100 * (figure.value / figure.published->value - 1));
    return text;
}

std::string figures_text(const std::vector<Figure>& figures) {
    if (figures.empty()) return "";
    const bool compared =
        std::ranges::any_of(figures, [](const Figure& f) { return f.published.has_value(); });
    Grid grid;
    if (compared) grid.add({"", "here", "published", "off", "", ""});
    for (const Figure& figure : figures) {
        std::vector<std::string> row = {figure.label, quantity(figure.value, figure.unit)};
        if (compared) {
            row.push_back(figure.published ? quantity(figure.published->value, figure.unit) : "");
            row.push_back(difference(figure));
        }
        row.emplace_back(name(figure.mark));
        row.push_back(figure.published ? std::string(figure.published->source) : figure.note);
        grid.add(std::move(row));
    }
    grid.left(compared ? 4 : 2);
    grid.left(compared ? 5 : 3);
    return grid.text("  ");
}

std::string table_text(const Table& table) {
    Grid grid;
    std::vector<std::string> head;
    for (const Table::Column& column : table.columns) head.push_back(column.label);
    grid.add(head);
    for (size_t i = 1; i < table.columns.size(); ++i) {
        if (!table.rows.empty() && std::holds_alternative<std::string>(table.rows.front()[i]))
            grid.left(i);
    }
    for (const auto& row : table.rows) {
        std::vector<std::string> cells;
        for (size_t i = 0; i < row.size(); ++i) {
            const auto* text = std::get_if<std::string>(&row[i]);
            cells.push_back(text != nullptr
                                ? *text
                                : quantity(std::get<double>(row[i]), table.columns[i].unit));
        }
        grid.add(std::move(cells));
    }
    return (table.title.empty() ? "" : concat("  ", table.title, ":\n")) + grid.text("  ");
}

}  // namespace

std::string text_of(const Answer& answer) {
    std::string text = answer.title + "\n";
    for (const Section& section : answer.sections) {
        text += heading(section.title) + figures_text(section.figures);
        bool first = section.figures.empty();
        for (const Table& table : section.tables) {
            if (!first) text += "\n";
            first = false;
            text += table_text(table);
        }
        for (const std::string& note : section.notes) text += concat("  ", note, "\n");
    }
    return text;
}

std::string input_text(const InputKey& key) {
    struct Visitor {
        std::string operator()(const int64_t* value) const {
            return std::to_string(*value);
        }
        std::string operator()(const double* value) const {
            char text[32];
            std::snprintf(text, sizeof text, "%.6g", *value);
            return text;
        }
        std::string operator()(const std::string* value) const {
            return *value;
        }
    };
    return std::visit(Visitor(), key.target);
}

std::string inputs_text(const Inputs& inputs, const std::vector<std::string>& groups) {
    Inputs copy = inputs;
    Grid grid;
    for (const InputKey& key : input_keys(copy)) {
        const bool wanted = std::ranges::any_of(
            groups, [&](const std::string& group) { return key.name.starts_with(group); });
        if (!wanted) continue;
        const Origin& origin = origin_of(inputs, key);
        grid.add({key.name, input_text(key), std::string(key.unit),
                  origin.kind == Origin::Kind::source ? "" : std::string(name(origin.kind)),
                  origin.text});
    }
    for (const size_t column : {2u, 3u, 4u}) grid.left(column);
    return heading("INPUTS") + grid.text("  ");
}

}  // namespace hadal::plan
