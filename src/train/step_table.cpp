#include "train/step_table.h"

#include <algorithm>
#include <utility>

#include "optim/batch_size_schedule.h"
#include "optim/learning_rate.h"

namespace hadal::train {

namespace {

/// Steps done and tokens seen.
struct Place {
    int64_t steps = 0;
    int64_t tokens = 0;
};

class Walk {
  public:
    explicit Walk(const Recipe& recipe)
        : schedule_(recipe.batch_schedule()), seq_len_(recipe.data.seq_len) {}

    /// The place before the first step that finds `tokens` tokens, or more, seen.
    Place until_tokens(int64_t tokens) const {
        Place place;
        while (place.tokens < tokens && on_ramp(place)) step(place);
        if (place.tokens >= tokens) return place;
        const int64_t of_step = schedule_.sequences * seq_len_;
        return whole_steps(place, (tokens - place.tokens + of_step - 1) / of_step);
    }
    Place until_steps(int64_t steps) const {
        Place place;
        while (place.steps < steps && on_ramp(place)) step(place);
        return whole_steps(place, steps - place.steps);
    }

  private:
    bool on_ramp(const Place& place) const {
        return schedule_.first > 0 && place.tokens < schedule_.ramp_tokens;
    }
    void step(Place& place) const {
        place.tokens += optim::batch_size(schedule_, place.tokens) * seq_len_;
        ++place.steps;
    }
    Place whole_steps(const Place& from, int64_t steps) const {
        return {from.steps + steps, from.tokens + steps * schedule_.sequences * seq_len_};
    }

    optim::BatchSizeSchedule schedule_;
    int64_t seq_len_;
};

Place end_of(const Recipe& recipe, const Walk& walk) {
    return recipe.run.steps > 0 ? walk.until_steps(recipe.run.steps)
                                : walk.until_tokens(recipe.run.tokens);
}

StepTableRow row_at(const Recipe& recipe, std::string what, const Place& place) {
    const bool late = place.tokens >= recipe.tokens_at(recipe.mtp.late_from);
    const bool biased = place.tokens < recipe.tokens_at(recipe.balance.bias_until);
    return {.what = std::move(what),
            .step = place.steps + 1,
            .tokens = place.tokens,
            .learning_rate =
                optim::learning_rate(recipe.learning_rate_schedule(), place.steps, place.tokens),
            .batch = optim::batch_size(recipe.batch_schedule(), place.tokens),
            .bias_rate = biased ? recipe.balance.bias_rate : 0,
            .mtp_weight = late ? recipe.mtp.late_weight : recipe.mtp.weight};
}

}  // namespace

std::vector<StepTableRow> step_table(const Recipe& recipe) {
    const Walk walk(recipe);
    const Place end = end_of(recipe, walk);
    std::vector<std::pair<Place, std::string>> events = {{Place{}, "start"}};
    const auto add = [&](const Place& place, const char* what) {
        if (place.steps > 0 && place.steps < end.steps) events.emplace_back(place, what);
    };
    const auto add_at = [&](const Position& position, const char* what) {
        add(walk.until_tokens(recipe.tokens_at(position)), what);
    };
    add(walk.until_steps(recipe.learning_rate.warmup_steps), "warm-up ends");
    if (recipe.batch.ramp_from > 0) add_at(recipe.batch.ramp_until, "batch ramp ends");
    add_at(recipe.learning_rate.constant_until, "cosine begins");
    add_at(recipe.learning_rate.cosine_until, "cosine ends");
    add_at(recipe.learning_rate.last_from, "last rate");
    if (recipe.mtp.weight != recipe.mtp.late_weight)
        add_at(recipe.mtp.late_from, "mtp weight changes");
    if (recipe.balance.bias_rate > 0) add_at(recipe.balance.bias_until, "bias rate ends");
    std::ranges::stable_sort(events, {}, [](const auto& event) { return event.first.steps; });

    std::vector<StepTableRow> rows;
    for (const auto& [place, what] : events) {
        if (!rows.empty() && rows.back().step == place.steps + 1) {
            rows.back().what += ", " + what;
        } else {
            rows.push_back(row_at(recipe, what, place));
        }
    }
    StepTableRow last = row_at(recipe, "end", walk.until_steps(end.steps - 1));
    last.step = end.steps;
    last.tokens = end.tokens;
    rows.push_back(last);
    return rows;
}

int64_t count_steps(const Recipe& recipe) {
    return end_of(recipe, Walk(recipe)).steps;
}

}  // namespace hadal::train
