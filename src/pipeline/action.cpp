#include "pipeline/action.h"

namespace hadal::pipeline {

std::string_view symbol(ActionKind kind) {
    switch (kind) {
        case ActionKind::forward:
            return "F";
        case ActionKind::backward:
            return "B";
        case ActionKind::backward_input:
            return "Bi";
        case ActionKind::backward_weight:
            return "W";
        case ActionKind::forward_backward:
            return "F&B";
        case ActionKind::send:
            return "send";
        case ActionKind::receive:
            return "receive";
    }
    return "";
}

}  // namespace hadal::pipeline
