// Named settings of the inputs: clusters (recipes/clusters) and what-if scenarios
// (recipes/scenarios), compiled in; or a TOML file of the same form.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/inputs.h"

namespace hadal::plan {

enum class PresetKind { cluster, scenario };

/// Names of those compiled in.
std::vector<std::string> preset_names(PresetKind kind);

/// Applies the preset called `name`, or the TOML file of that path, to `inputs`; its `base` first.
/// Error(bad_input) names the nearest preset, or the file, line and key that is wrong.
void apply_preset(Inputs& inputs, PresetKind kind, const std::string& name);

/// The same for the text of a file.
void apply_preset_text(Inputs& inputs, PresetKind kind, std::string_view text,
                       const std::string& where);

}  // namespace hadal::plan
