#include "model/expert_pages.h"

#include <doctest/doctest.h>

namespace hadal::model {

namespace {

/// Three experts whose matrices have 4×8 elements.
std::vector<FeedForwardWeights> three_experts() {
    std::vector<FeedForwardWeights> experts(3);
    for (FeedForwardWeights& expert : experts) {
        for (Linear* linear : {&expert.gate_proj, &expert.up_proj, &expert.down_proj})
            linear->weight = Tensor::zeros({4, 8}, DType::bf16);
    }
    return experts;
}
using Offsets = std::vector<int64_t>;
constexpr int64_t kExpertBytes = 3 * 4 * 8 * 2;

}  // namespace

TEST_CASE("expert pages: an expert is asked for when first chosen, and not again") {
    const auto experts = three_experts();
    ExpertPages pages(3, /*again=*/false);
    CHECK(pages.bring(experts, Offsets{0, 2, 2, 3}) == 2 * kExpertBytes);  // experts 0 and 2
    CHECK(pages.bring(experts, Offsets{0, 1, 1, 2}) == 0);
    CHECK(pages.bring(experts, Offsets{0, 1, 4, 4}) == kExpertBytes);  // expert 1 is new
    CHECK(pages.bring(experts, Offsets{0, 0, 0, 0}) == 0);
}

TEST_CASE("expert pages: of weights that may have left memory, at every choice") {
    const auto experts = three_experts();
    ExpertPages pages(3, /*again=*/true);
    CHECK(pages.bring(experts, Offsets{0, 2, 2, 3}) == 2 * kExpertBytes);
    CHECK(pages.bring(experts, Offsets{0, 2, 2, 3}) == 2 * kExpertBytes);
}

TEST_CASE("expert pages: codes and their scales are an expert's bytes too") {
    auto experts = three_experts();
    experts[1].up_proj.weight = {};
    experts[1].up_proj.codes = TiledMatrix::uninitialized({4, 8}, formats::kBlockTiles);
    ExpertPages pages(3, /*again=*/false);
    CHECK(pages.bring(experts, Offsets{0, 0, 1, 1}) == 2 * 4 * 8 * 2 + 4 * 8 + 4);
}

TEST_CASE("expert pages: so are integers in groups") {
    auto experts = three_experts();
    experts[1].gate_proj = {};
    experts[1].gate_proj.int8 = formats::Int8Matrix::uninitialized({4, 32});
    experts[1].up_proj = {};
    experts[1].up_proj.int4 = formats::Int4Matrix::uninitialized({4, 32});
    ExpertPages pages(3, /*again=*/false);
    CHECK(pages.bring(experts, Offsets{0, 0, 1, 1}) == 4 * (32 + 2) + 4 * (16 + 2) + 4 * 8 * 2);
}

TEST_CASE(
    "expert pages: every MoE layer of loaded weights has them, layers without experts ask for "
    "nothing") {
    Weights weights;
    weights.layers.resize(2);
    weights.layers[1].moe.experts = three_experts();
    bring_experts_when_chosen(weights);
    REQUIRE(weights.layers[1].moe.pages != nullptr);
    CHECK(weights.layers[1].moe.pages->bring(weights.layers[1].moe.experts, Offsets{0, 1, 1, 1}) ==
          kExpertBytes);
    CHECK(weights.layers[0].moe.pages->bring({}, Offsets{0}) == 0);
}

}  // namespace hadal::model
