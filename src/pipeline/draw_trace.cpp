#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "pipeline/draw.h"

namespace hadal::pipeline {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kMicrosecondsPerUnit = 1000;

std::string chunk_name(const Action& action) {
    std::string name = concat(symbol(action.kind), " ", action.chunk.micro_batch);
    if (action.kind == ActionKind::forward_backward) {
        name += concat(" ", action.backward.micro_batch);
    }
    return name;
}

Json slice(const Action& action, size_t rank, const Span& span) {
    Json arguments = {{"micro_batch", action.chunk.micro_batch}, {"stage", action.chunk.stage}};
    if (action.kind == ActionKind::forward_backward) {
        arguments["backward_micro_batch"] = action.backward.micro_batch;
        arguments["backward_stage"] = action.backward.stage;
    }
    return {{"name", chunk_name(action)},
            {"cat", symbol(action.kind)},
            {"ph", "X"},
            {"ts", span.begin * kMicrosecondsPerUnit},
            {"dur", (span.end - span.begin) * kMicrosecondsPerUnit},
            {"pid", 0},
            {"tid", rank},
            {"args", arguments}};
}

class Trace {
  public:
    Trace(const Schedule& schedule, const Timeline& timeline)
        : schedule_(schedule), timeline_(timeline) {}

    std::string text() {
        events_.push_back({{"name", "process_name"},
                           {"ph", "M"},
                           {"pid", 0},
                           {"args", {{"name", schedule_.name}}}});
        for (size_t rank = 0; rank < schedule_.actions.size(); ++rank) {
            events_.push_back({{"name", "thread_name"},
                               {"ph", "M"},
                               {"pid", 0},
                               {"tid", rank},
                               {"args", {{"name", concat("rank ", rank)}}}});
            number_messages(rank);
        }
        for (size_t rank = 0; rank < schedule_.actions.size(); ++rank) draw(rank);
        const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events_)}};
        return trace.dump() + "\n";
    }

  private:
    void number_messages(size_t rank) {
        for (const Action& action : schedule_.actions[rank]) {
            if (action.kind != ActionKind::send) continue;
            const size_t id = messages_.size() + 1;
            messages_[{action.payload, action.chunk}] = id;
        }
    }

    void draw(size_t rank) {
        const std::vector<Action>& actions = schedule_.actions[rank];
        for (size_t i = 0; i < actions.size(); ++i) {
            const Action& action = actions[i];
            if (action.is_message()) continue;
            const Span& span = timeline_.spans[rank][i];
            events_.push_back(slice(action, rank, span));
            const Chunk &forward = action.chunk, &back = action.backward_chunk();
            if (action.runs_forward()) {
                arrow(Payload::activation, forward, "s", rank, span);
                arrow(Payload::activation, {forward.stage - 1, forward.micro_batch}, "f", rank,
                      span);
            }
            if (action.runs_backward_input()) {
                arrow(Payload::gradient, back, "s", rank, span);
                arrow(Payload::gradient, {back.stage + 1, back.micro_batch}, "f", rank, span);
            }
        }
    }

    /// One end of a message, which belongs to the slice that encloses its time; none if the two
    /// chunks share a rank.
    void arrow(Payload payload, const Chunk& from, const char* end, size_t rank, const Span& span) {
        const auto found = messages_.find({payload, from});
        if (found == messages_.end()) return;
        const double share = *end == 's' ? 0.99 : 0.01;
        const double time = span.begin + share * (span.end - span.begin);
        Json event = {{"name", payload == Payload::activation ? "activation" : "gradient"},
                      {"cat", "message"},
                      {"ph", end},
                      {"id", found->second},
                      {"ts", time * kMicrosecondsPerUnit},
                      {"pid", 0},
                      {"tid", rank}};
        if (*end == 'f') event["bp"] = "e";
        events_.push_back(std::move(event));
    }

    const Schedule& schedule_;
    const Timeline& timeline_;
    std::map<std::pair<Payload, Chunk>, size_t> messages_;  // to their numbers
    Json events_ = Json::array();
};

}  // namespace

std::string draw_trace(const Schedule& schedule, const Timeline& timeline) {
    return Trace(schedule, timeline).text();
}

}  // namespace hadal::pipeline
