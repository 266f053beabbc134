#include "cli/engine_argument.h"

#include "core/error.h"

namespace hadal::cli {

Option attention_option() {
    return {.name = "--attention",
            .value = "absorbed|long|expanded",
            .help =
                "form of attention: absorbed; expanded in prompts of 2048 tokens or more; "
                "expanded for every token, which gives the bits of score",
            .fallback = "absorbed"};
}

infer::AttentionForms attention_forms(const Arguments& arguments) {
    const std::string& value = arguments.text("--attention");
    if (value == "absorbed") return infer::AttentionForms::absorbed;
    if (value == "long") return infer::AttentionForms::long_prompts;
    if (value == "expanded") return infer::AttentionForms::expanded;
    throw Error(Error::Kind::usage,
                concat("--attention wants absorbed, long or expanded, got '", value, "'"));
}

}  // namespace hadal::cli
