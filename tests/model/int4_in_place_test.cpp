// A checkpoint with experts in INT4 whose codes stay where the file is mapped.
#include "checkpoint/hugging_face.h"
#include "model/quantize_support.h"
#include "model/save_model.h"
#include "ops/random_normal.h"

using namespace hadal;
using namespace hadal::model;
using test::same;

namespace {

/// Experts of 96 × 160, which are whole groups and no whole vectors, and an MTP module.
struct Twins : test::ModelFolder {
    Twins() {
        ModelConfig config = preset("tiny");
        config.hidden_size = 96;
        config.moe_intermediate_size = 160;
        config.initializer_range = 0.1;
        Weights weights = init_weights(machine.context, config, DType::bf16, 5);
        save_model(folder / "model", config, weights);
        quantize("model", "int4", {.to = Storage::int4_experts});
        quantize("int4", "unpacked", {.to = Storage::bf16});
    }
    Model coded() const {
        return load_model(folder / "int4", DType::bf16, 0, nullptr, CodedWeights::in_place);
    }
    Model unpacked() const {
        return load_model(folder / "unpacked", DType::bf16);
    }
};

/// Hidden states after the final norm, over the cache, in chunks of these lengths.
Tensor generated(Context& context, const Model& model, std::span<const int64_t> chunks) {
    const std::vector<int32_t> pages = {0};
    int64_t tokens = 0;
    for (const int64_t count : chunks) tokens += count;
    Tensor ids = Tensor::zeros({tokens}, DType::i32);
    for (int64_t i = 0; i < tokens; ++i) {
        ids.values<int32_t>()[size_t(i)] = int32_t((7 * i + 3) % model.config.vocab_size);
    }
    LatentCache cache = allocate_latent_cache(model.config, 1, DType::bf16);
    Tensor all = Tensor::zeros({tokens, model.config.hidden_size}, DType::bf16);
    int64_t length = 0;
    for (const int64_t count : chunks) {
        const CachedSequence sequence = {
            .pages = pages, .length = length, .query_count = count, .cached = length};
        Tensor hidden = all.rows(length, count);
        forward_cached(context, model, cache, ids.rows(length, count), {&sequence, 1}, hidden);
        length += count;
    }
    return all;
}

}  // namespace

TEST_CASE("int4 in place: experts are views of the mapped codes, and nothing is unpacked") {
    const Twins twins;
    const Model model = twins.coded();
    const auto files = checkpoint::HuggingFace::open(twins.folder / "int4");
    const auto& expert = model.weights.layers.back().moe.experts[1].down_proj;
    CHECK(expert.weight.empty());
    CHECK(expert.codes.codes.empty());
    const std::string name = concat("model.layers.", model.config.num_hidden_layers - 1,
                                    ".mlp.experts.1.down_proj.weight");
    CHECK(same(expert.int4.packed, files.load_int4(name).packed));
    CHECK(held_bytes(expert) == 96 * 160 * 9 / 16);
    CHECK_FALSE(model.weights.layers.back().self_attn.o_proj.weight.empty());
}

TEST_CASE(
    "int4 in place: every bit is that of the unpacked model, in any chunks and on every set") {
    const Twins twins;
    const Model coded = twins.coded(), unpacked = twins.unpacked();
    for (const Isa isa : available_isas()) {
        CAPTURE(name(isa));
        test::Machine machine(3, isa);
        const Tensor expected =
            generated(machine.context, unpacked, std::vector<int64_t>{37, 1, 1, 3});
        for (const auto& chunks : {std::vector<int64_t>{42}, std::vector<int64_t>{5, 33, 1, 1, 2},
                                   std::vector<int64_t>(42, 1)}) {
            CHECK(same(generated(machine.context, coded, chunks), expected));
        }
    }
}

TEST_CASE("int4 in place: a model of float32 unpacks, and training's loader does") {
    const Twins twins;
    const Model wide =
        load_model(twins.folder / "int4", DType::f32, 0, nullptr, CodedWeights::in_place);
    CHECK(wide.weights.layers.back().moe.experts[0].up_proj.weight.dtype() == DType::f32);
    const Model values = load_model(twins.folder / "int4", DType::bf16);
    CHECK_FALSE(values.weights.layers.back().moe.experts[0].up_proj.weight.empty());
}

TEST_CASE("linear: a list may mix weights in bf16, block-FP8 and INT4") {
    test::Machine machine(2);
    const auto noise = [&](Shape shape, uint64_t seed) {
        Tensor x = Tensor::uninitialized(shape, DType::bf16);
        ops::random_normal(machine.context, {.seed = seed, .stream = 0}, 1.0, x);
        return x;
    };
    const Tensor x = noise({3, 128}, 1), w = noise({40, 128}, 2);
    Linear values{.weight = w}, tiles, int4;
    tiles.codes = TiledMatrix::uninitialized(w.shape(), formats::kBlockTiles);
    formats::quantize_tiles(w, tiles.codes);
    int4.int4 = formats::Int4Matrix::uninitialized(w.shape());
    formats::quantize_int4(w, {}, int4.int4);
    std::vector<LinearRows> list;
    std::vector<Tensor> alone;
    for (const Linear* linear : {&int4, &values, &tiles, &int4}) {
        list.push_back({{.values = x, .fp8 = {}}, *linear, Tensor::zeros({3, 40}, DType::bf16)});
        alone.push_back(Tensor::zeros({3, 40}, DType::bf16));
        linear->forward(machine.context, list.back().operand, alone.back());
    }
    Linear::forward(machine.context, list);
    for (size_t i = 0; i < list.size(); ++i) CHECK(same(list[i].result, alone[i]));
    CHECK_FALSE(same(alone[0], alone[1]));
    CHECK_FALSE(same(alone[1], alone[2]));
}
