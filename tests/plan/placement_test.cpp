#include "plan/placement.h"

#include <doctest/doctest.h>
#include <string>

#include "core/error.h"
#include "model/parameters.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

double all_ranks(const model::ModelConfig& config, const Layout& layout) {
    const auto stages = cut_into_stages(config, layout.mtp, layout.stages());
    double sum = 0;
    for (int64_t rank = 0; rank < layout.pp; ++rank) {
        const RankParameters held = rank_parameters(
            parameter_sizes(config), stages_of_rank(stages, layout, rank), config, layout);
        sum += held.replicated + held.experts * double(layout.ep);
    }
    return sum;
}

void check_rejected(const std::string& key, const std::string& value, const char* part) {
    Inputs inputs = test::published_run();
    test::set(inputs, key, value);
    CAPTURE(key);
    CHECK_THROWS_WITH_AS(check_layout(test::v3(), inputs), doctest::Contains(part), Error);
}

}  // namespace

TEST_CASE("parameters: sizes by kind agree with sums over the table of parameters") {
    for (const std::string& name : model::preset_names()) {
        CAPTURE(name);
        const model::ModelConfig config = model::preset(name);
        const ParameterSizes s = parameter_sizes(config);
        const model::ParameterCount count = model::count_parameters(config);
        double moe = 0, dense = 0;
        for (int64_t i = 0; i < config.num_hidden_layers; ++i)
            ++(config.is_moe_layer(i) ? moe : dense);
        const auto experts = double(config.n_routed_experts);
        const double layer = s.attention + s.norms;
        const double moe_layer = layer + s.shared + s.router + experts * s.expert;
        const double total =
            dense * (layer + s.dense) + moe * moe_layer + s.embedding + s.head + s.final_norm;
        CHECK(total == double(count.total));
        CHECK(moe * experts * s.expert == double(count.routed_experts));
        CHECK(moe * s.router == double(count.router));
        const auto modules = double(config.num_nextn_predict_layers);
        CHECK(modules * (moe_layer + s.mtp_extra) == double(count.mtp));
    }
}

TEST_CASE("placement: all ranks together hold the model once, and twice with DualPipe") {
    const model::ModelConfig config = test::v3();
    const auto total = double(model::count_parameters(config).total);
    Layout layout = test::published_run().layout;
    layout.mtp = 0;
    for (const char* schedule : {"1f1b", "zb-h1", "zb-v", "interleaved", "dualpipev"}) {
        CAPTURE(schedule);
        layout.schedule = schedule;
        CHECK(all_ranks(config, layout) == doctest::Approx(total).epsilon(1e-12));
    }
    layout.schedule = "dualpipe";
    CHECK(all_ranks(config, layout) == doctest::Approx(2 * total).epsilon(1e-12));
}

TEST_CASE("placement: MTP's stage takes a copy of the embedding, unless its rank has it already") {
    const model::ModelConfig config = test::v3();
    const model::ParameterCount count = model::count_parameters(config);
    Layout layout = test::published_run().layout;
    layout.mtp = 1;
    layout.schedule = "1f1b";
    const double parts = double(count.total + count.mtp);
    CHECK(all_ranks(config, layout) ==
          doctest::Approx(parts + double(count.embedding)).epsilon(1e-12));
    layout.schedule = "dualpipe";
    CHECK(all_ranks(config, layout) == doctest::Approx(2 * parts).epsilon(1e-12));
}

TEST_CASE("placement: layers are cut in order, the ends get fewer where they do not divide") {
    const auto stages = cut_into_stages(test::v3(), 1, 16);
    int64_t layers = 0;
    for (const Stage& stage : stages) layers += stage.layers();
    CHECK(layers == 62);
    CHECK(stages.front().layers() == 3);
    CHECK(stages.front().dense_layers == 3);
    CHECK(stages[7].moe_layers == 4);
    CHECK(stages.back().moe_layers == 2);
    CHECK(stages.back().mtp == 1);
    CHECK(stages.front().embedding);
    CHECK(stages.back().head);
}

TEST_CASE("layouts: an impossible one is refused with what to change") {
    check_rejected("layout.pp", "15", "not a multiple of pp 15");
    check_rejected("layout.ep", "48", "does not divide the 128 GPUs of a stage");
    check_rejected("layout.ep", "96", "does not divide");
    check_rejected("layout.tp", "3", "not a multiple");
    check_rejected("layout.batch", "15361", "use 15360");
    check_rejected("layout.batch", "2048", "at least 2 × pp = 32");
    check_rejected("layout.batch", "4224", "even number");
    Inputs deep = test::published_run();
    test::set(deep, "layout.pp", "64");
    test::set(deep, "layout.ep", "32");
    CHECK_THROWS_WITH_AS(check_layout(test::v3(), deep),
                         doctest::Contains("would be empty (lower pp to 62"), Error);
    Inputs odd = test::published_run();
    test::set(odd, "layout.gpus", "1920");
    test::set(odd, "layout.pp", "15");
    CHECK_THROWS_WITH_AS(check_layout(test::v3(), odd), doctest::Contains("even pp"), Error);
    Inputs dense = test::published_run();
    model::ModelConfig no_experts = test::v3();
    no_experts.n_routed_experts = 0;
    CHECK_THROWS_WITH_AS(check_layout(no_experts, dense), doctest::Contains("use ep 1"), Error);
    CHECK(is_possible(test::v3(), test::published_run()));
    CHECK(!is_possible(no_experts, dense));
}

}  // namespace hadal::plan
