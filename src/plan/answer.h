// What a plan says: sections of figures and tables, each figure with its unit and whether it was
// computed, fitted or given. Printing is here, for people; `cli` makes JSON of the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plan/inputs.h"

namespace hadal::plan {

enum class Mark { input, calibration, prediction };
std::string_view name(Mark mark);

/// What a source states about the published run.
struct Published {
    double value = 0;
    std::string_view source;
};

struct Figure {
    std::string key;  // of JSON: "step_seconds"
    std::string label;
    double value = 0;
    std::string unit;
    Mark mark = Mark::prediction;
    std::string note = {};
    std::optional<Published> published = {};
};

using Cell = std::variant<std::string, double>;

struct Table {
    struct Column {
        std::string key, label, unit;
    };
    std::string key;
    std::string title;
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;  // as wide as columns
};

struct Section {
    std::string title;
    std::vector<Figure> figures = {};
    std::vector<Table> tables = {};
    std::vector<std::string> notes = {};  // whole sentences
};

struct Answer {
    std::string title;
    std::vector<Section> sections;
    std::vector<std::string> headline;  // keys of the figures that a sweep compares

    /// nullptr if there is none.
    const Figure* find(std::string_view key) const;
};

/// "143.9 ms", "22.5 GB", "2.664 M h", "39.1 %": four digits, the prefix chosen for the unit.
std::string quantity(double value, std::string_view unit);

/// Aligned columns; a heading of published figures where a section has some.
std::string text_of(const Answer& answer);

/// The inputs whose keys begin with one of `groups` ("layout."), with their sources.
std::string inputs_text(const Inputs& inputs, const std::vector<std::string>& groups);

/// An input's value as one types it.
std::string input_text(const InputKey& key);

}  // namespace hadal::plan
