// Inputs and models that the planner's tests share.
#pragma once

#include <string>

#include "model/config.h"
#include "plan/inputs.h"
#include "plan/presets.h"

namespace hadal::plan::test {

inline Inputs cluster(const std::string& name) {
    Inputs inputs;
    apply_preset(inputs, PresetKind::cluster, name);
    return inputs;
}

/// The run of the report: every other input is born with its layout.
inline Inputs published_run() {
    return cluster("h800-2048");
}

inline model::ModelConfig v3() {
    return model::preset("v3-671b");
}

/// As `--set` does.
inline void set(Inputs& inputs, const std::string& key, const std::string& value) {
    set_input(inputs, key, value, {Origin::Kind::given, "test"}, "test");
}

}  // namespace hadal::plan::test
