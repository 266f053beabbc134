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

Option cache_dtype_option() {
    return {.name = "--cache-dtype",
            .value = "model|fp8",
            .help = "latents as the model computes them, or in FP8 with a scale per token",
            .fallback = "model"};
}

bool is_cache_fp8(const Arguments& arguments) {
    const std::string& value = arguments.text("--cache-dtype");
    if (value != "model" && value != "fp8") {
        throw Error(Error::Kind::usage,
                    concat("--cache-dtype wants model or fp8, got '", value, "'"));
    }
    return value == "fp8";
}

}  // namespace hadal::cli
