// The words that generated documents are made of: all begin with a consonant, so that "a" is always
// right.
#pragma once

#include <string_view>

namespace hadal::data {

inline constexpr std::string_view kGirls[] = {
    "Lily", "Mia",   "Anna", "Sara",  "Emma",  "Zoe",  "Rosa", "Nora",  "Lucy", "Ella",
    "Ruby", "Clara", "Maya", "Alice", "Grace", "Hana", "Ines", "Julia", "Kate", "Leila"};
inline constexpr std::string_view kBoys[] = {
    "Tom",  "Ben",  "Max",  "Sam",   "Leo",    "Jack", "Tim",   "Noah", "Paul",  "Finn",
    "Omar", "Hugo", "Adam", "Peter", "Daniel", "Ivan", "Kenji", "Luca", "Oscar", "Ravi"};
inline constexpr std::string_view kColors[] = {"red",    "blue", "green", "yellow", "white",
                                               "purple", "pink", "brown", "silver", "golden"};
inline constexpr std::string_view kThings[] = {
    "kite",   "ball", "hat",    "boat",   "drum",  "doll",   "bell", "book",
    "basket", "cup",  "ring",   "scarf",  "train", "bucket", "lamp", "flute",
    "box",    "car",  "puppet", "mirror", "sled",  "top",    "flag", "coat"};
inline constexpr std::string_view kAnimals[] = {
    "cat",  "dog",    "duck",  "rabbit", "fox",      "mouse", "bear",     "bird", "frog",   "pony",
    "lamb", "kitten", "puppy", "turtle", "squirrel", "goat",  "hedgehog", "hen",  "beaver", "deer"};
inline constexpr std::string_view kFoods[] = {"bread", "cake", "soup",    "cheese", "honey",
                                              "rice",  "pie",  "pudding", "jam",    "fruit"};
inline constexpr std::string_view kDishes[] = {"bread", "cake", "soup", "pie", "pudding", "rice"};
inline constexpr std::string_view kSkills[] = {
    "swim",          "ride a bike", "climb a tree",    "fly a kite",  "skate",
    "play the drum", "whistle",     "dance",           "bake bread",  "row a boat",
    "read a map",    "jump rope",   "paint a picture", "sing a song", "build a sled"};
inline constexpr std::string_view kAdults[] = {"mother",      "father", "grandmother",
                                               "grandfather", "aunt",   "uncle"};
inline constexpr std::string_view kWeather[] = {"sunny", "windy", "cloudy",
                                                "cold",  "warm",  "bright"};
inline constexpr std::string_view kKinds[] = {"little", "kind",   "happy", "clever",
                                              "brave",  "gentle", "shy",   "curious"};

/// A place as one goes to it, is at it, and comes from it.
struct Place {
    std::string_view to;
    std::string_view at;
};
inline constexpr Place kPlaces[] = {{"the park", "in the park"},
                                    {"the forest", "in the forest"},
                                    {"the beach", "at the beach"},
                                    {"the garden", "in the garden"},
                                    {"the river", "by the river"},
                                    {"the lake", "by the lake"},
                                    {"the hill", "on the hill"},
                                    {"the farm", "on the farm"},
                                    {"the meadow", "in the meadow"},
                                    {"the old mill", "at the old mill"},
                                    {"the playground", "at the playground"},
                                    {"the school", "at the school"}};

/// Nouns for lists and look-ups.
inline constexpr std::string_view kNouns[] = {
    "apple",  "river",  "moon",   "stone",  "tiger",  "cloud",  "table",  "green",  "paper",
    "horse",  "music",  "lemon",  "chair",  "ocean",  "bread",  "glass",  "snow",   "wolf",
    "candle", "garden", "silver", "window", "forest", "rain",   "sugar",  "tower",  "violin",
    "island", "button", "copper", "winter", "pepper", "mirror", "camel",  "rocket", "pencil",
    "orange", "planet", "basket", "dragon", "flower", "ladder", "market", "needle", "pocket",
    "rabbit", "shadow", "spoon",  "summer", "thunder"};
/// What one can have many of.
inline constexpr std::string_view kCounted[] = {"apples",  "marbles", "shells", "stamps", "coins",
                                                "cookies", "stones",  "books",  "stars",  "nuts"};

}  // namespace hadal::data
