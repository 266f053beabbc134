// What a rank of a pipeline does, one step at a time. The symbols are those of the V3 report's
// table 2 and figure 5: F forward, B full backward, W backward for weights, F&B an overlapped pair.
#pragma once

#include <compare>
#include <string_view>

namespace hadal::pipeline {

/// One stage's share of the work on one micro-batch.
struct Chunk {
    int stage = 0;
    int micro_batch = 0;

    auto operator<=>(const Chunk&) const = default;
};

enum class ActionKind {
    forward,           // F
    backward,          // B: the gradient of the input and of the weights at once
    backward_input,    // B without W: what the stage before waits for
    backward_weight,   // W, later
    forward_backward,  // F&B: the forward of one chunk and the full backward of another, overlapped
    send,
    receive,
};

/// What a message carries.
enum class Payload {
    activation,  // the output of a forward, to the next stage
    gradient,    // the gradient of a stage's input, to the stage before
};

struct Action {
    ActionKind kind = ActionKind::forward;
    Chunk chunk = {};                       // a message: the chunk that made what it carries
    Chunk backward = {};                    // F&B only: the half that runs backward
    Payload payload = Payload::activation;  // messages only
    int peer = -1;                          // messages only: the rank at the other end

    bool is_message() const {
        return kind == ActionKind::send || kind == ActionKind::receive;
    }
    /// Whether it computes the forward of a chunk, which is then `chunk`.
    bool runs_forward() const {
        return kind == ActionKind::forward || kind == ActionKind::forward_backward;
    }
    /// Whether it computes the gradient of a chunk's input, which is then backward_chunk().
    bool runs_backward_input() const {
        return kind == ActionKind::backward || kind == ActionKind::backward_input ||
               kind == ActionKind::forward_backward;
    }
    /// Whether it computes the gradients of weights, for backward_chunk().
    bool runs_backward_weight() const {
        return kind == ActionKind::backward || kind == ActionKind::backward_weight ||
               kind == ActionKind::forward_backward;
    }
    const Chunk& backward_chunk() const {
        return kind == ActionKind::forward_backward ? backward : chunk;
    }

    bool operator==(const Action&) const = default;
};

/// "F", "B", "Bi", "W", "F&B", "send", "receive".
std::string_view symbol(ActionKind kind);

}  // namespace hadal::pipeline
