#include "train/same_run.h"

#include <algorithm>

#include "core/error.h"
#include "core/file_map.h"
#include "core/nearest_name.h"
#include "data/content_hash.h"
#include "train/recipe_keys.h"

namespace hadal::train {

namespace {

using data::SourceIdentity;

void append(std::string& list, const std::string& item) {
    list += (list.empty() ? "" : "; ") + item;
}

const SourceIdentity* find(std::span<const SourceIdentity> sources, const std::string& name) {
    const auto found = std::ranges::find(sources, name, &SourceIdentity::name);
    return found == sources.end() ? nullptr : &*found;
}

/// Sets by name: of some that are gone or new.
std::string changed_list(std::span<const SourceIdentity> now,
                         std::span<const SourceIdentity> before) {
    std::string list;
    for (const SourceIdentity& source : before) {
        if (find(now, source.name) == nullptr) {
            append(list, concat("'", source.name, "' of ", source.tokens, " tokens is missing"));
        }
    }
    for (const SourceIdentity& source : now) {
        if (find(before, source.name) == nullptr)
            append(list, concat("'", source.name, "' is new"));
    }
    if (!list.empty()) return list;
    return concat("there were ", before.size(), " sets, now there are ", now.size());
}

/// Sets in order: a set may have got another name, its ids may not.
std::string changed_content(std::span<const SourceIdentity> now,
                            std::span<const SourceIdentity> before) {
    std::string list;
    for (size_t i = 0; i < now.size(); ++i) {
        if (now[i].tokens != before[i].tokens) {
            append(list, concat("'", now[i].name, "' has ", now[i].tokens, " tokens, had ",
                                before[i].tokens));
        } else if (now[i].fingerprint != before[i].fingerprint) {
            append(list, concat("'", now[i].name, "' holds other token ids"));
        }
    }
    return list;
}

}  // namespace

void check_allowed_changes(std::span<const std::string> keys) {
    Recipe none;
    const std::vector<RecipeKey> known = recipe_keys(none);
    for (const std::string& key : keys) {
        const auto found = std::ranges::find(known, key, &RecipeKey::name);
        if (found != known.end() && (found->may_change || found->change_on_request)) continue;
        std::vector<std::string> names;
        for (const RecipeKey& candidate : known) {
            if (candidate.change_on_request) names.push_back(candidate.name);
        }
        const bool exists = found != known.end() || key.starts_with("model.");
        throw Error(Error::Kind::usage,
                    concat("--allow-change ", key, ": ",
                           exists ? "a run cannot change this key (start another run)"
                                  : "no such key" + did_you_mean(key, names)));
    }
}

void check_same_recipe(const Recipe& now, const Recipe& before, const ResumeOptions& options,
                       const std::string& where) {
    std::string list, mendable;
    for (const RecipeDifference& difference : differences(now, before)) {
        if (std::ranges::count(options.allow_change, difference.key) > 0) {
            options.warn(concat("allowed to change: ", difference.text()));
            continue;
        }
        append(list, difference.text());
        if (difference.on_request) mendable += " --allow-change " + difference.key;
    }
    if (list.empty()) return;
    throw Error(Error::Kind::bad_input,
                concat("the snapshot is of another configuration: ", list, ": ", where,
                       " (resume with the run's own recipe, or give another run.out",
                       mendable.empty() ? "" : "; to change it on purpose:" + mendable, ")"));
}

void check_same_data(std::span<const SourceIdentity> now, std::span<const SourceIdentity> before,
                     const std::string& where) {
    const std::string list =
        now.size() != before.size() ? changed_list(now, before) : changed_content(now, before);
    if (list.empty()) return;
    throw Error(Error::Kind::bad_input,
                concat("the training data is not the snapshot's: ", list, ": ", where,
                       " (put back the packed files that the run began with)"));
}

std::string tokenizer_digest(const Recipe& recipe) {
    if (recipe.data.tokenizer.empty()) return "";
    const std::filesystem::path given = recipe.data.tokenizer;
    const auto file = std::filesystem::is_directory(given) ? given / "tokenizer.json" : given;
    if (!std::filesystem::exists(file)) return "";
    return data::hash_text(data::content_hash(read_file(file)));
}

}  // namespace hadal::train
