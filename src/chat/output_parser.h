// Takes an answer apart as it is generated: thoughts, content, tool calls. What it gives out does
// not depend on how the text was cut into pieces. The text is a model's: it may be anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/call_object.h"
#include "chat/format.h"

namespace hadal::chat {

struct Delta {
    enum class Kind { reasoning, content, call_begins, call_arguments };
    Kind kind;
    std::string text = {};  // of all but call_begins; of call_arguments a part of a JSON text
    int64_t call = 0;       // of the calls: which one, from 0
    std::string id = {};    // of call_begins
    std::string name = {};  // of call_begins: the function's
};

struct OutputOptions {
    bool thinks = false;       // the text begins inside the thoughts
    bool reads_calls = false;  // otherwise their marks are text
    int64_t most_calls = -1;   // later ones are dropped; −1: none
    std::string call_id = {};  // calls are numbered behind it, unless the model names them
};

class OutputParser {
  public:
    /// `format` must outlive the parser.
    OutputParser(const Format& format, OutputOptions options);

    /// More text; a special token as its content.
    std::vector<Delta> feed(std::string_view text);
    /// The end. A call that never began in earnest was text.
    std::vector<Delta> finish();

  private:
    enum class State { start, reasoning, content, section, header, arguments, over };

    bool step();
    bool start();
    bool reasoning();
    bool content();
    bool section();
    bool header();
    bool arguments();
    bool object_header();
    bool object_arguments();
    void begin_call(std::string id, std::string name);
    bool passes_turn_end();
    bool read_header(std::string_view text, size_t mark);
    size_t sure_end(std::initializer_list<std::string_view> marks) const;
    void emit(Delta::Kind kind, size_t end);
    void drop(size_t count);

    const Format& format_;
    OutputOptions options_;
    State state_;
    std::string open_;  // not yet given out
    std::string raw_;   // of the calls' section, until the first call begins
    bool skips_space_;  // before the next text
    int64_t calls_ = 0;
    ValueEnd value_end_;  // of the arguments in an object
    std::vector<Delta> out_;
};

}  // namespace hadal::chat
