// A block-FP8 checkpoint whose codes stay where the file is mapped.
#include <cmath>

#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

namespace {

/// Logits of the golden's tokens in float32.
Tensor logits_of(Context& context, const Model& model, const TokenBatch& batch) {
    const DType dtype = model.weights.embed_tokens.dtype();
    Saved saved = allocate_saved(model.config, batch.ids.count(), dtype, false, test::owned());
    forward(context, model, batch, saved);
    Tensor logits = Tensor::zeros({batch.ids.count(), model.config.vocab_size}, DType::f32);
    head_logits(context, model, saved.normed, logits);
    return logits;
}

double distance(const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (int64_t i = 0; i < a.count(); ++i) {
        const double d =
            double(a.values<float>()[size_t(i)]) - double(b.values<float>()[size_t(i)]);
        sum += d * d;
    }
    return std::sqrt(sum / double(a.count()));
}

}  // namespace

TEST_CASE("fp8 in place: logits are as near to float32's as those of weights rounded to bf16") {
    const auto golden =
        checkpoint::Safetensors::open(test::golden_path("fp8") / "golden.safetensors");
    for (const Isa isa : available_isas()) {
        CAPTURE(name(isa));
        test::Machine machine(2, isa);
        const TokenBatch batch = test::golden_batch(golden.load("input_ids"));
        const Model exact = load_model(test::golden_path("fp8"), DType::f32);
        const Model rounded = load_model(test::golden_path("fp8"), DType::bf16);
        const Model in_place =
            load_model(test::golden_path("fp8"), DType::bf16, 0, nullptr, CodedWeights::in_place);
        const auto& layer = in_place.weights.layers[0];
        CHECK(layer.self_attn.o_proj.weight.empty());
        CHECK(layer.self_attn.o_proj.codes.codes.dtype() == DType::f8_e4m3);
        CHECK_FALSE(layer.self_attn.kv_b_proj.weight.empty());
        const Tensor expected = logits_of(machine.context, exact, batch);
        const double of_rounded = distance(logits_of(machine.context, rounded, batch), expected);
        const double of_codes = distance(logits_of(machine.context, in_place, batch), expected);
        CHECK(of_rounded > 0);
        CHECK(of_codes > 0);
        CHECK(of_codes < 1.25 * of_rounded);  // one rounding less; the rest is activations'
    }
}

TEST_CASE("fp8 in place: generation over the cache agrees with the whole pass, in any chunks") {
    test::Machine machine;
    const Model model =
        load_model(test::golden_path("fp8"), DType::bf16, 0, nullptr, CodedWeights::in_place);
    Tensor ids = Tensor::zeros({9}, DType::i32);
    for (int32_t i = 0; i < 9; ++i) ids.values<int32_t>()[size_t(i)] = (7 * i + 3) % 50;
    const std::vector<int32_t> pages = {0};
    const auto run = [&](const std::vector<int64_t>& chunks) {
        LatentCache cache = allocate_latent_cache(model.config, 1, DType::bf16);
        Tensor all = Tensor::zeros({9, model.config.hidden_size}, DType::bf16);
        int64_t length = 0;
        for (const int64_t count : chunks) {
            const CachedSequence sequence = {
                .pages = pages, .length = length, .query_count = count, .cached = length};
            Tensor hidden = all.rows(length, count);
            forward_cached(machine.context, model, cache, ids.rows(length, count), {&sequence, 1},
                           hidden);
            length += count;
        }
        return all;
    };
    const Tensor whole = run({9}), one_by_one = run({1, 1, 1, 1, 1, 1, 1, 1, 1});
    CHECK(std::memcmp(whole.data(), one_by_one.data(), size_t(whole.bytes())) == 0);
}
