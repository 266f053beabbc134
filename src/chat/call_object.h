// A tool call written as one JSON object, {"name": …, "arguments": …}, read while it is generated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal::chat {

/// What stands before the arguments.
struct CallHead {
    enum class State {
        open,   // more text is needed
        whole,  // the name is known, the arguments begin
        other   // not in this order: wait for the end of the object
    };
    State state = State::open;
    std::string name = {};
    size_t arguments = 0;  // where they begin
};
CallHead read_call_head(std::string_view text);

/// The end of a JSON value that comes in pieces. Whether it is valid is not looked at.
class ValueEnd {
  public:
    /// Past the value's last byte in this piece; npos if it goes on.
    size_t find(std::string_view piece);

  private:
    int64_t depth_ = 0;
    bool begun_ = false;
    bool in_text_ = false;
    bool escaped_ = false;
};

/// A whole object with its members in any order; none if it is no call.
struct WholeCall {
    std::string name;
    std::string arguments;  // JSON
};
std::optional<WholeCall> read_whole_call(std::string_view text);

}  // namespace hadal::chat
