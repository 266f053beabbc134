// What a chat's answer is made of: what the model thinks, what it says, which functions it calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hadal::serve {

struct ReplyDelta {
    enum class Kind { reasoning, content, call_begins, call_arguments };
    Kind kind;
    std::string text;       // of all but call_begins; of call_arguments a part of a JSON text
    int64_t call = 0;       // of the calls: which one, from 0
    std::string id = {};    // of call_begins
    std::string name = {};  // of call_begins: the function's
};

struct ToolCall {
    std::string id, name, arguments;
};

/// All deltas of one answer, put together.
struct Reply {
    std::string reasoning, content;
    std::vector<ToolCall> calls;

    void add(const ReplyDelta& delta);
};

}  // namespace hadal::serve
