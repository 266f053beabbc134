#include "cli/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

using namespace hadal::cli;

namespace {

Report sample(bool json) {
    Report report(json);
    report.add("parameters", int64_t(671026419200));
    report.add("ratio", 0.25);
    report.add("missing", std::nan(""));
    report.add("ok", true);
    report.add("text", "ab\xff");
    report.add_row("results", Record().add("test", "short").add("rate", 12));
    report.add_row("results", Record().add("test", "longer").add("rate", 3));
    return report;
}

}  // namespace

TEST_CASE(
    "report: one JSON object, numbers unrounded, what is no number null, bad UTF-8 replaced") {
    const auto json = nlohmann::json::parse(sample(true).text());
    CHECK(json["parameters"] == 671026419200);
    CHECK(json["ratio"] == 0.25);
    CHECK(json["missing"].is_null());
    CHECK(json["ok"] == true);
    CHECK(json["text"] == "ab\xef\xbf\xbd");
    CHECK(json["results"].size() == 2);
    CHECK(json["results"][1]["rate"] == 3);
    CHECK(Report(true).text().empty());
}

TEST_CASE("report: a table for people") {
    const std::string text = sample(false).text();
    CHECK(text.starts_with("parameters  671 026 419 200\n"));
    CHECK(text.find("ratio       0.25\n") != std::string::npos);
    CHECK(text.find("test    rate\nshort     12\nlonger     3\n") != std::string::npos);
}
