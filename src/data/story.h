// Short stories in plain English out of a grammar: a handful of plots, a cast, a place and a thing,
// and several ways to say every sentence. Small enough for a model of some million parameters to
// learn in minutes, and coherent: who lost the red kite is who finds the red kite.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/random.h"

namespace hadal::data {

/// What a plot's template is filled with.
using Slots = std::map<std::string, std::string, std::less<>>;

/// Fills a template: "{slot}" is replaced, of "[one|other]" one branch is taken at random (branches
/// nest). The templates are ours: an unknown slot or an open bracket is an assertion.
std::string expand(std::string_view text, const Slots& slots, RandomSequence& random);

struct Story {
    std::string opening;  // one or two sentences: the prompt of a continuation
    std::string rest;     // begins with a space
    uint64_t key = 0;     // of plot, cast, place and thing: what the split by construction goes by
};

/// The next story of a random sequence.
Story make_story(RandomSequence& random);

}  // namespace hadal::data
