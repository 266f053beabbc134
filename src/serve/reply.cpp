#include "serve/reply.h"

namespace hadal::serve {

void Reply::add(const ReplyDelta& delta) {
    switch (delta.kind) {
        case ReplyDelta::Kind::reasoning:
            reasoning += delta.text;
            return;
        case ReplyDelta::Kind::content:
            content += delta.text;
            return;
        case ReplyDelta::Kind::call_begins:
            calls.push_back({.id = delta.id, .name = delta.name, .arguments = ""});
            return;
        case ReplyDelta::Kind::call_arguments:
            calls.at(size_t(delta.call)).arguments += delta.text;
            return;
    }
}

}  // namespace hadal::serve
