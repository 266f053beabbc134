#include "chat/call_object.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"

namespace hadal::chat {

namespace {

constexpr std::string_view kSpace = " \n\r\t";

/// Walks over a text that may end anywhere.
class Cursor {
  public:
    explicit Cursor(std::string_view text) : text_(text) {}

    /// Past white space and the literal. If not, `state` says whether more text could help.
    bool pass(std::string_view literal, CallHead::State& state) {
        skip_space();
        const std::string_view rest = text_.substr(at_);
        if (rest.starts_with(literal)) {
            at_ += literal.size();
            return true;
        }
        state = literal.starts_with(rest) ? CallHead::State::open : CallHead::State::other;
        return false;
    }
    /// Past a string without escapes.
    bool pass_text(std::string& text, CallHead::State& state) {
        if (!pass("\"", state)) return false;
        const size_t end = text_.find_first_of("\"\\", at_);
        if (end == std::string_view::npos || text_[end] == '\\') {
            state = end == std::string_view::npos ? CallHead::State::open : CallHead::State::other;
            return false;
        }
        text = text_.substr(at_, end - at_);
        at_ = end + 1;
        return true;
    }
    /// Where the next value begins; its first byte is there.
    bool at_value(size_t& begin) {
        skip_space();
        begin = at_;
        return at_ < text_.size();
    }

  private:
    void skip_space() {
        at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size());
    }

    std::string_view text_;
    size_t at_ = 0;
};

}  // namespace

CallHead read_call_head(std::string_view text) {
    CallHead head;
    Cursor cursor(text);
    const bool whole = cursor.pass("{", head.state) && cursor.pass("\"name\"", head.state) &&
                       cursor.pass(":", head.state) && cursor.pass_text(head.name, head.state) &&
                       cursor.pass(",", head.state) && cursor.pass("\"arguments\"", head.state) &&
                       cursor.pass(":", head.state) && cursor.at_value(head.arguments);
    if (whole) head.state = CallHead::State::whole;
    return head;
}

size_t ValueEnd::find(std::string_view piece) {
    for (size_t i = 0; i < piece.size(); ++i) {
        const char c = piece[i];
        if (in_text_) {
            if (escaped_) {
                escaped_ = false;
            } else if (c == '\\') {
                escaped_ = true;
            } else if (c == '"') {
                in_text_ = false;
                if (depth_ == 0) return i + 1;
            }
            continue;
        }
        const bool closes = c == '}' || c == ']';
        // A number or a word ends before what follows it.
        if (depth_ == 0 && (closes || c == ',')) return i;
        if (depth_ == 0 && begun_ && kSpace.find(c) != std::string_view::npos) return i;
        begun_ = true;
        if (c == '"') in_text_ = true;
        if (c == '{' || c == '[') ++depth_;
        if (closes && --depth_ == 0) return i + 1;
    }
    return std::string_view::npos;
}

std::optional<WholeCall> read_whole_call(std::string_view text) {
    try {
        const nlohmann::json call = parse_json(text, "a tool call");
        if (!call.is_object()) return {};
        const auto name = call.find("name"), arguments = call.find("arguments");
        if (name == call.end() || !name->is_string()) return {};
        return WholeCall{name->get<std::string>(),
                         arguments == call.end() ? "{}" : arguments->dump()};
    } catch (const Error&) {  // no JSON, or nested deeper than anything of use
        return {};
    }
}

}  // namespace hadal::chat
