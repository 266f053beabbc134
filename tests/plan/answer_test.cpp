#include "plan/answer.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "plan/answers.h"
#include "plan/support.h"
#include "plan/sweep.h"

namespace hadal::plan {

TEST_CASE("quantities: four digits and the prefix that suits the unit") {
    CHECK(quantity(0.1439, "s") == "143.9 ms");
    CHECK(quantity(19.926, "s") == "19.93 s");
    CHECK(quantity(2.4e-5, "s") == "24 µs");
    CHECK(quantity(89081, "s") == "24.74 h");
    CHECK(quantity(0, "s") == "0 s");
    CHECK(quantity(22.5e9, "B") == "22.5 GB");
    CHECK(quantity(250.4e9, "FLOP") == "250.4 GFLOP");
    CHECK(quantity(2788e3, "h") == "2.788 M h");
    CHECK(quantity(5.576e6, "$") == "$5.576 M");
    CHECK(quantity(0.3, "$") == "$0.3");
    CHECK(quantity(0.3894, "share") == "38.94 %");
    CHECK(quantity(272.8e9, "tokens") == "272.8 B tokens");
    CHECK(quantity(1543, "token/s") == "1543 token/s");
    CHECK(quantity(671.03e9, "") == "671 B");
    CHECK(quantity(kMissing, "s") == "—");
    CHECK(quantity(3, "GB/s") == "3 GB/s");
}

TEST_CASE("text: columns line up, whatever the letters weigh") {
    Answer answer{.title = "T",
                  .sections = {{.title = "S",
                                .figures = {{"a", "short", 1, "s"},
                                            {"b", "ünïcödé µ", 22, "s", Mark::input, "why"}}}},
                  .headline = {}};
    const std::string text = text_of(answer);
    CHECK(text.find("  short       1 s  prediction\n") != std::string::npos);
    CHECK(text.find("  ünïcödé µ  22 s  input       why\n") != std::string::npos);
    answer.sections[0].figures[0].published = Published{2, "book"};
    CHECK(text_of(answer).find("-50.0 %") != std::string::npos);
}

TEST_CASE("text: no line ends in spaces, every figure says what it is") {
    std::istringstream lines(text_of(answer_train(test::v3(), test::published_run())));
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK((line.empty() || line.back() != ' '));
    }
}

TEST_CASE("inputs: printed with their sources, group by group") {
    const std::string text = inputs_text(test::published_run(), {"gpu."});
    CHECK(text.find("gpu.memory_gb ") != std::string::npos);
    CHECK(text.find("vendor") != std::string::npos);
    CHECK(text.find("layout.") == std::string::npos);
}

TEST_CASE("answers: headline figures exist and keys are unique") {
    const Inputs inputs = test::published_run();
    for (const Answer& answer :
         {answer_train(test::v3(), inputs), answer_memory(test::v3(), inputs),
          answer_serve(test::v3(), inputs), answer_failures(test::v3(), inputs),
          answer_serve(model::preset("v3-16b"), test::cluster("desktop"))}) {
        CAPTURE(answer.title);
        CHECK(!answer.headline.empty());
        for (const std::string& key : answer.headline) CHECK(answer.find(key) != nullptr);
        std::vector<std::string> keys;
        for (const Section& section : answer.sections) {
            for (const Figure& figure : section.figures) keys.push_back(figure.key);
            for (const Table& table : section.tables) {
                keys.push_back(table.key);
                for (const auto& row : table.rows) CHECK(row.size() == table.columns.size());
            }
        }
        std::ranges::sort(keys);
        CHECK(std::ranges::adjacent_find(keys) == keys.end());
    }
}

namespace {

Answer ask_batch(const std::string& value) {
    Inputs inputs = test::published_run();
    test::set(inputs, "layout.batch", value);
    return answer_train(test::v3(), inputs);
}

}  // namespace

TEST_CASE("sweep: a row a value, impossible ones with their reason") {
    const Sweep result = sweep("layout.batch", {"15360", "100", "30720"}, ask_batch);
    const Table table = sweep_table(result);
    REQUIRE(table.rows.size() == 3);
    CHECK(std::get<double>(table.rows[0][1]) == doctest::Approx(19.9).epsilon(1e-3));
    CHECK(std::get<std::string>(table.rows[1].back()).find("not a multiple") != std::string::npos);
    CHECK(std::get<double>(table.rows[2][1]) > 35);
    const std::string svg = sweep_svg(result, "A sweep");
    CHECK(svg.starts_with("<svg"));
    CHECK(svg.find("layout.batch") != std::string::npos);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK_THROWS_WITH_AS(sweep("layout.batch", {"100", "x"}, ask_batch),
                         doctest::Contains("not a multiple"), Error);
}

TEST_CASE("sweep: its request is KEY=VALUE,VALUE") {
    const SweepRequest request = parse_sweep("layout.pp=8,16");
    CHECK(request.key == "layout.pp");
    CHECK(request.values == std::vector<std::string>{"8", "16"});
    for (const char* wrong : {"pp", "=8", "pp=", "pp=8,,9", "pp=8,"}) {
        CAPTURE(wrong);
        CHECK_THROWS_WITH_AS(parse_sweep(wrong), doctest::Contains("KEY=VALUE"), Error);
    }
    std::string many = "pp=1";
    for (int i = 0; i < 64; ++i) many += ",1";
    CHECK_THROWS_WITH_AS(parse_sweep(many), doctest::Contains("at most 64"), Error);
}

}  // namespace hadal::plan
