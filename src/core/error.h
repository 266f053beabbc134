// Errors: thrown where the fault is found, caught at the edges only (command line, server,
// trainer).
#pragma once

#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace hadal {

/// The text of its arguments, joined: concat("layer ", 3, ": ", name).
template <class... Parts>
std::string concat(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return text.str();
}

/// What went wrong, in one line: what, where in the user's terms, and how to mend it.
class Error : public std::exception {
  public:
    enum class Kind {
        usage,         // the command line, a recipe or a request is wrong
        bad_input,     // a value, a text or a path that cannot be used
        corrupt_file,  // a file that contradicts itself
        unsupported,   // a valid input that this build cannot handle
        io,            // the system refused: disk full, no permission
        diverged,      // training came to nothing, of which no single input is the cause
        internal,      // our own mistake
    };

    Error(Kind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

    Kind kind() const {
        return kind_;
    }
    const char* what() const noexcept override {
        return message_.c_str();
    }
    /// Exit status of the command line: 2 where the user's input is wrong, 1 for the rest.
    int exit_status() const {
        const bool input_is_right =
            kind_ == Kind::io || kind_ == Kind::diverged || kind_ == Kind::internal;
        return input_is_right ? 1 : 2;
    }

  private:
    Kind kind_;
    std::string message_;
};

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace hadal

/// For our own mistakes: no input of a user can ever reach one.
#define HADAL_ASSERT(condition) \
    ((condition) ? void(0) : ::hadal::assertion_failed(#condition, __FILE__, __LINE__))
