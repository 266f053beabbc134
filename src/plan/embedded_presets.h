// The files of recipes/clusters and recipes/scenarios, compiled in; the build writes the table.
#pragma once

#include <span>
#include <string_view>

#include "plan/presets.h"

namespace hadal::plan {

struct EmbeddedPreset {
    PresetKind kind;
    std::string_view name;
    std::string_view text;
};
extern const std::span<const EmbeddedPreset> kEmbeddedPresets;

}  // namespace hadal::plan
