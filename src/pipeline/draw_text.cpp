#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "pipeline/draw.h"

namespace hadal::pipeline {

namespace {

constexpr double kMaxColumns = 400;
constexpr double kShortestCell = 3;  // columns

struct Alphabet {
    const char *forward, *backward, *input, *weight, *fill;
};
constexpr Alphabet kUnicode = {"▷", "◀", "◁", "■", "·"};
constexpr Alphabet kAscii = {"F", "B", "I", "W", "."};

/// Columns of one unit of time.
double columns_per_unit(const Timeline& timeline) {
    if (timeline.shortest <= 0) return 1;
    return std::min(kShortestCell / timeline.shortest, kMaxColumns / timeline.makespan);
}

/// A line of text whose letters may be several bytes long.
class Line {
  public:
    explicit Line(size_t columns) : letters_(columns, " ") {}

    void put(size_t column, std::string letter) {
        if (column < letters_.size()) letters_[column] = std::move(letter);
    }
    std::string text() const {
        std::string text;
        for (const std::string& letter : letters_) text += letter;
        return text.substr(0, text.find_last_not_of(' ') + 1);
    }

  private:
    std::vector<std::string> letters_;
};

/// What stands in a cell, letter by letter: "▷3", "▷9◀2".
std::vector<std::string> label(const Action& action, const Alphabet& alphabet) {
    std::vector<std::string> letters;
    const auto add = [&letters](const char* symbol, const Chunk& chunk) {
        letters.emplace_back(symbol);
        for (const char digit : std::to_string(chunk.micro_batch)) letters.emplace_back(1, digit);
    };
    switch (action.kind) {
        case ActionKind::forward:
            add(alphabet.forward, action.chunk);
            break;
        case ActionKind::backward:
            add(alphabet.backward, action.chunk);
            break;
        case ActionKind::backward_input:
            add(alphabet.input, action.chunk);
            break;
        case ActionKind::backward_weight:
            add(alphabet.weight, action.chunk);
            break;
        case ActionKind::forward_backward:
            add(alphabet.forward, action.chunk);
            add(alphabet.backward, action.backward);
            break;
        case ActionKind::send:
        case ActionKind::receive:
            break;
    }
    return letters;
}

}  // namespace

std::string draw_text(const Schedule& schedule, const Timeline& timeline, Letters letters) {
    const Alphabet& alphabet = letters == Letters::unicode ? kUnicode : kAscii;
    const double scale = columns_per_unit(timeline);
    const auto column = [scale](double time) { return size_t(std::llround(time * scale)); };
    const size_t name_width = std::to_string(schedule.ranks - 1).size();
    std::string text;
    for (size_t rank = 0; rank < schedule.actions.size(); ++rank) {
        Line line(column(timeline.makespan));
        for (size_t i = 0; i < schedule.actions[rank].size(); ++i) {
            const Action& action = schedule.actions[rank][i];
            if (action.is_message()) continue;
            const Span& span = timeline.spans[rank][i];
            const std::vector<std::string> cell = label(action, alphabet);
            for (size_t at = column(span.begin); at < column(span.end); ++at) {
                const size_t place = at - column(span.begin);
                line.put(at, place < cell.size() ? cell[place] : alphabet.fill);
            }
        }
        const std::string name = std::to_string(rank);
        text += concat("rank ", std::string(name_width - name.size(), ' '), name, "  ", line.text(),
                       "\n");
    }
    return text + concat(alphabet.forward, " forward  ", alphabet.backward, " backward  ",
                         alphabet.input, " backward for input  ", alphabet.weight,
                         " backward for weights\n");
}

}  // namespace hadal::pipeline
