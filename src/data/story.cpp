#include "data/story.h"

#include <iterator>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/content_hash.h"
#include "data/story_plots.h"
#include "data/word_lists.h"

namespace hadal::data {

namespace {

template <class T, size_t count>
const T& any_of(const T (&list)[count], RandomSequence& random) {
    return list[random.below(count)];
}

/// Position just behind the bracket that closes the one at `begin`, and the starts of the branches.
size_t find_branches(std::string_view text, size_t begin, std::vector<std::string_view>& branches) {
    int depth = 0;
    size_t branch = begin + 1;
    for (size_t i = begin; i < text.size(); ++i) {
        if (text[i] == '[') ++depth;
        if ((text[i] == '|' || text[i] == ']') && depth == 1) {
            branches.push_back(text.substr(branch, i - branch));
            branch = i + 1;
        }
        if (text[i] == ']' && --depth == 0) return i + 1;
    }
    HADAL_ASSERT(false);  // a template of ours with an open bracket
    return text.size();
}

std::string capitalized(std::string text) {
    text[0] = char(text[0] - 'a' + 'A');
    return text;
}

/// A name and the pronouns that go with it.
void add_person(Slots& slots, bool friendly, std::string_view name, bool girl) {
    const std::string prefix = friendly ? "f" : "";
    const auto set = [&](const std::string& slot, std::string value) {
        slots[prefix + slot] = std::move(value);
    };
    slots[friendly ? "friend" : "name"] = name;
    set("he", girl ? "she" : "he");
    set("him", girl ? "her" : "him");
    set("his", girl ? "her" : "his");
    set("He", girl ? "She" : "He");
    set("His", girl ? "Her" : "His");
    set("child", girl ? "girl" : "boy");
}

}  // namespace

std::string expand(std::string_view text, const Slots& slots, RandomSequence& random) {
    std::string result;
    for (size_t i = 0; i < text.size();) {
        if (text[i] == '[') {
            std::vector<std::string_view> branches;
            i = find_branches(text, i, branches);
            result += expand(branches[random.below(branches.size())], slots, random);
        } else if (text[i] == '{') {
            const size_t end = text.find('}', i);
            HADAL_ASSERT(end != std::string_view::npos);
            const auto slot = slots.find(text.substr(i + 1, end - i - 1));
            HADAL_ASSERT(slot != slots.end());
            result += slot->second;
            i = end + 1;
        } else {
            result += text[i++];
        }
    }
    return result;
}

Story make_story(RandomSequence& random) {
    const size_t plot = random.below(std::size(kPlots));
    Slots slots;
    const bool girl = random.below(2) == 0;
    const bool friend_girl = random.below(2) == 0;
    add_person(slots, false, girl ? any_of(kGirls, random) : any_of(kBoys, random), girl);
    do {
        add_person(slots, true, friend_girl ? any_of(kGirls, random) : any_of(kBoys, random),
                   friend_girl);
    } while (slots["friend"] == slots["name"]);
    const Place& place = any_of(kPlaces, random);
    slots["place"] = place.to;
    slots["at"] = place.at;
    slots["At_place"] = capitalized(std::string(place.at));
    slots["from"] = concat("from ", place.to);
    slots["thing"] = any_of(kThings, random);
    slots["color"] = any_of(kColors, random);
    slots["animal"] = any_of(kAnimals, random);
    slots["Animal"] = capitalized(slots["animal"]);
    do {
        slots["animal2"] = any_of(kAnimals, random);
    } while (slots["animal2"] == slots["animal"]);
    slots["food"] = any_of(kFoods, random);
    slots["dish"] = any_of(kDishes, random);
    slots["my_food"] = concat("my ", slots["food"]);
    slots["skill"] = any_of(kSkills, random);
    slots["adult"] = any_of(kAdults, random);
    slots["elder"] = random.below(2) == 0 ? "man" : "woman";
    slots["weather"] = any_of(kWeather, random);
    slots["kind"] = any_of(kKinds, random);
    slots["Once"] =
        expand("[Once upon a time, there was|Once there was|There once was]", {}, random);
    slots["Ending"] = expand(
        "[They played with it together until the sun went down.|They went home, happy and tired.|"
        "\"You are a good friend,\" said {name}.|{name} never lost the {thing} again.] ",
        slots, random);

    Story story;
    uint64_t key = plot;
    for (const char* slot : {"name", "friend", "place", "thing", "color", "animal"}) {
        key = content_hash(slots[slot], key);
    }
    story.key = key;
    std::string text = expand(kPlots[plot], slots, random);
    while (text.back() == ' ') text.pop_back();
    const size_t mark = text.find('^');
    HADAL_ASSERT(mark != std::string::npos);
    story.opening = text.substr(0, mark);
    story.rest = text.substr(mark + 1);
    return story;
}

}  // namespace hadal::data
