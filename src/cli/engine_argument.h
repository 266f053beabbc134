// Options of the engine that several verbs share, and their values.
#pragma once

#include <vector>

#include "cli/arguments.h"
#include "infer/engine.h"

namespace hadal::cli {

/// --attention.
Option attention_option();
infer::AttentionForms attention_forms(const Arguments& arguments);

/// --cache-dtype.
Option cache_dtype_option();
bool is_cache_fp8(const Arguments& arguments);

}  // namespace hadal::cli
