// The planner's page and the questions that it asks: the same answers as those of `hadal plan`, as
// JSON. Names only: a model or a cluster in a file is for the command line.
#pragma once

#include "http/exchange.h"

namespace hadal::cli {

/// GET /               the page
/// GET /plan/choices   names of models, clusters, scenarios
/// POST /plan/ask      {"question": "train" | "memory" | "serve" | "failures", "model", "cluster",
///                     "scenarios": [], "settings": {KEY: VALUE}} → answer, inputs, and for
///                     training the memory of every rank and the pipeline's timeline
/// What cannot be answered gives {"error": {"message"}} with 400, 404 or 405.
http::Response answer_plan_page(const http::Request& request);

}  // namespace hadal::cli
