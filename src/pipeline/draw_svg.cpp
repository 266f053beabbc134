#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "pipeline/draw.h"

namespace hadal::pipeline {

namespace {

constexpr double kLeft = 64, kTop = 40, kRow = 22, kRight = 14, kLegend = 52;
constexpr double kShortestCell = 18, kMaxWidth = 1600;
constexpr double kLetter = 6.2;  // of the numbers in the cells

constexpr const char* kStyle =
    "<style>text{font:11px sans-serif;fill:#222}.n{font-size:10px;text-anchor:middle}"
    ".t{font-size:14px;font-weight:bold}rect{stroke:#fff;stroke-width:.5}.i{fill:#f1f1f1}"
    ".p{fill:none;stroke:#222;stroke-width:1.2}"
    ".f0{fill:#f9cf8f}.f1{fill:#eaa23c}.b0{fill:#a5d8a0}.b1{fill:#62b562}"
    ".g0{fill:#9fd8d8}.g1{fill:#55aeb0}.w0{fill:#b9c4ee}.w1{fill:#8194dc}</style>\n";

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    std::string trimmed = text;
    while (trimmed.back() == '0') trimmed.pop_back();
    if (trimmed.back() == '.') trimmed.pop_back();
    return trimmed;
}

std::string rectangle(const std::string& style, double x, double y, double width) {
    return concat("<rect class=\"", style, "\" x=\"", number(x), "\" y=\"", number(y),
                  "\" width=\"", number(width), "\" height=\"", kRow - 2, "\"/>\n");
}

std::string text_at(const char* style, double x, double y, const std::string& text) {
    return concat("<text class=\"", style, "\" x=\"", number(x), "\" y=\"", number(y), "\">", text,
                  "</text>\n");
}

class Picture {
  public:
    Picture(const Schedule& schedule, const Timing& timing, const Timeline& timeline)
        : schedule_(schedule),
          timing_(timing),
          timeline_(timeline),
          scale_(timeline.shortest > 0
                     ? std::min(kShortestCell / timeline.shortest, kMaxWidth / timeline.makespan)
                     : 1) {}

    std::string draw() {
        const double width = std::max(kLeft + timeline_.makespan * scale_ + kRight, 620.0);
        const double height = kTop + schedule_.ranks * kRow + kLegend;
        std::string svg = concat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"",
                                 number(width), "\" height=\"", number(height), "\" viewBox=\"0 0 ",
                                 number(width), " ", number(height), "\">\n", kStyle,
                                 "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
                                 text_at("t", 8, 24, title()));
        for (int rank = 0; rank < schedule_.ranks; ++rank) {
            const double y = kTop + rank * kRow;
            svg += text_at("", 8, y + 14, concat("rank ", rank));
            svg += rectangle("i", kLeft, y, timeline_.makespan * scale_);
            svg += row(rank, y);
        }
        return svg + legend(kTop + schedule_.ranks * kRow + 14) + "</svg>\n";
    }

  private:
    std::string title() const {
        const auto [least, most] = std::ranges::minmax(timeline_.idle);
        return concat(schedule_.name, ": ", schedule_.ranks, " ranks, ", schedule_.micro_batches,
                      " micro-batches, makespan ", number(timeline_.makespan), ", idle ",
                      number(least), least < most ? " … " + number(most) : "");
    }

    std::string row(int rank, double y) const {
        std::string svg;
        const std::vector<Action>& actions = schedule_.actions[size_t(rank)];
        for (size_t i = 0; i < actions.size(); ++i) {
            const Action& action = actions[i];
            if (action.is_message()) continue;
            const Span& span = timeline_.spans[size_t(rank)][i];
            if (action.kind != ActionKind::forward_backward) {
                const char* part = action.kind == ActionKind::forward          ? "f"
                                   : action.kind == ActionKind::backward       ? "b"
                                   : action.kind == ActionKind::backward_input ? "g"
                                                                               : "w";
                svg += cell(part, action.chunk, span, y);
                continue;
            }
            const double forward = timing_.of(action.chunk.stage).forward;
            const double both = forward + timing_.of(action.backward.stage).backward;
            const double middle =
                span.begin + (span.end - span.begin) * (both > 0 ? forward / both : 0.5);
            svg += cell("f", action.chunk, {span.begin, middle}, y);
            svg += cell("b", action.backward, {middle, span.end}, y);
            svg += rectangle("p", x(span.begin) + 0.5, y, (span.end - span.begin) * scale_ - 1);
        }
        return svg;
    }

    std::string cell(const char* part, const Chunk& chunk, const Span& span, double y) const {
        const double width = (span.end - span.begin) * scale_;
        const std::string label = std::to_string(chunk.micro_batch);
        std::string svg =
            rectangle(concat(part, schedule_.slot_of(chunk) % 2), x(span.begin), y, width);
        if (width >= kLetter * double(label.size())) {
            svg += text_at("n", x(span.begin) + width / 2, y + 14, label);
        }
        return svg;
    }

    std::string legend(double y) const {
        std::string svg;
        double at = kLeft;
        const auto entry = [&](const char* style, const char* text, double width) {
            svg += rectangle(style, at, y, 20) + text_at("", at + 26, y + 14, text);
            at += width;
        };
        entry("f0", "forward", 88);
        entry("b0", "backward", 94);
        entry("g0", "backward for input", 148);
        entry("w0", "backward for weights", 160);
        if (has_pairs()) {
            svg += rectangle("f0", at, y, 10) + rectangle("b0", at + 10, y, 10);
            entry("p", "overlapped pair", 0);
        }
        return svg;
    }

    bool has_pairs() const {
        return std::ranges::any_of(schedule_.actions, [](const std::vector<Action>& actions) {
            return std::ranges::find(actions, ActionKind::forward_backward, &Action::kind) !=
                   actions.end();
        });
    }

    double x(double time) const {
        return kLeft + time * scale_;
    }

    const Schedule& schedule_;
    const Timing& timing_;
    const Timeline& timeline_;
    double scale_;  // pixels of one unit of time
};

}  // namespace

std::string draw_svg(const Schedule& schedule, const Timing& timing, const Timeline& timeline) {
    return Picture(schedule, timing, timeline).draw();
}

}  // namespace hadal::pipeline
