// Generation over the latent cache: the golden's tokens, and bits that depend on nothing but the
// sequence itself.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/random.h"
#include "model/rotary_scaling.h"
#include "model/support.h"
#include "ops/convert.h"
#include "ops/cross_entropy.h"

using namespace hadal;
using namespace hadal::model;

namespace {

/// A cache and the pages of some sequences in it, in an order that is nobody's.
struct Cache {
    Cache(const ModelConfig& config, const std::vector<int64_t>& capacities, DType dtype) {
        int64_t total = 0;
        for (const int64_t capacity : capacities) total += capacity / ops::kLatentPageRows + 1;
        layers = allocate_latent_cache(config, total, dtype);
        for (const int64_t capacity : capacities) {
            std::vector<int32_t> table;
            for (int64_t i = 0; i <= capacity / ops::kLatentPageRows; ++i) {
                table.push_back(int32_t(--total));
            }
            pages.push_back(std::move(table));
        }
    }
    LatentCache layers;
    std::vector<std::vector<int32_t>> pages;
};

Tensor ids_tensor(const std::vector<int32_t>& ids) {
    Tensor tensor = Tensor::zeros({int64_t(ids.size())}, DType::i32);
    std::copy(ids.begin(), ids.end(), tensor.values<int32_t>().begin());
    return tensor;
}

std::vector<int32_t> some_ids(int64_t count, int64_t vocab, uint64_t seed) {
    RandomSequence random(seed);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(random.below(uint64_t(vocab))));
    return ids;
}

/// Hidden states [count, hidden] of one sequence fed in chunks of the given sizes.
Tensor run_in_chunks(Context& context, const Model& model, const std::vector<int32_t>& ids,
                     const std::vector<int64_t>& chunks) {
    const DType dtype = model.weights.embed_tokens.dtype();
    Tensor all = Tensor::zeros({int64_t(ids.size()), model.config.hidden_size}, dtype);
    Cache cache(model.config, {int64_t(ids.size())}, dtype);
    CachedSequence sequence = {.pages = cache.pages[0]};
    for (const int64_t count : chunks) {
        sequence.query_count = count;
        const std::vector<int32_t> step(ids.begin() + sequence.length,
                                        ids.begin() + sequence.length + count);
        Tensor hidden = all.rows(sequence.length, count);
        forward_cached(context, model, cache.layers, ids_tensor(step), {&sequence, 1}, hidden);
        sequence.length += count;
    }
    return all;
}

bool same_bits(const Tensor& a, const Tensor& b) {
    return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

}  // namespace

TEST_CASE("cached: greedy generation gives the golden's tokens and logits") {
    test::Machine machine;
    const auto golden =
        checkpoint::Safetensors::open(test::golden_path("decode") / "golden.safetensors");
    const Model model = load_model(test::golden_path("base"), DType::f32);
    const Tensor tokens = golden.load("tokens");
    const Tensor expected = golden.load("logits");  // [2, 24, vocab]
    const int64_t prompt = golden.load("prompt").shape()[1];
    const int64_t steps = expected.shape()[1], vocab = expected.shape()[2];
    for (int64_t s = 0; s < 2; ++s) {
        std::vector<int32_t> ids;
        for (int64_t i = 0; i < prompt; ++i)
            ids.push_back(int32_t(tokens.row<int64_t>(s)[size_t(i)]));
        Cache cache(model.config, {prompt + steps}, DType::f32);
        CachedSequence sequence = {.pages = cache.pages[0]};
        for (int64_t step = 0; step < steps; ++step) {
            CAPTURE(s);
            CAPTURE(step);
            sequence.query_count = int64_t(ids.size());
            Tensor hidden =
                Tensor::zeros({int64_t(ids.size()), model.config.hidden_size}, DType::f32);
            forward_cached(machine.context, model, cache.layers, ids_tensor(ids), {&sequence, 1},
                           hidden);
            sequence.length += sequence.query_count;
            Tensor logits = Tensor::zeros({1, vocab}, DType::f32),
                   next = Tensor::zeros({1}, DType::i32);
            head_logits(machine.context, model, hidden.rows(hidden.shape()[0] - 1, 1), logits);
            const std::span<const float> row(expected.data_as<float>() + (s * steps + step) * vocab,
                                             size_t(vocab));
            CHECK(test::excess(logits.values<float>(), row, 1e-5) < 5e-5);
            ops::argmax(machine.context, logits, next);
            REQUIRE(next.values<int32_t>()[0] == tokens.row<int64_t>(s)[size_t(prompt + step)]);
            ids = {next.values<int32_t>()[0]};
        }
    }
}

TEST_CASE(
    "cached: a prompt cut into any chunks gives the same bits, for every type and instruction "
    "set") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Isa isa : available_isas()) {
            CAPTURE(int(isa));
            test::Machine machine(2, isa);
            const Model model = load_model(test::golden_path("base"), dtype);
            const auto ids = some_ids(40, model.config.vocab_size, 3);
            const Tensor whole = run_in_chunks(machine.context, model, ids, {40});
            CHECK(same_bits(whole, run_in_chunks(machine.context, model, ids, {1, 1, 5, 16, 17})));
            CHECK(same_bits(
                whole, run_in_chunks(machine.context, model, ids, std::vector<int64_t>(40, 1))));
            test::Machine other(4, isa);
            CHECK(same_bits(whole, run_in_chunks(other.context, model, ids, {13, 27})));
        }
    }
}

TEST_CASE("cached: a sequence's bits do not depend on what else is in the step") {
    test::Machine machine(3);
    const Model model = load_model(test::golden_path("base"), DType::bf16);
    const auto first = some_ids(19, model.config.vocab_size, 1);
    const auto second = some_ids(7, model.config.vocab_size, 2);
    const Tensor alone = run_in_chunks(machine.context, model, first, {19});
    Cache cache(model.config, {7, 19}, DType::bf16);
    const std::vector<CachedSequence> sequences = {{.pages = cache.pages[0], .query_count = 7},
                                                   {.pages = cache.pages[1], .query_count = 19}};
    std::vector<int32_t> both = second;
    both.insert(both.end(), first.begin(), first.end());
    Tensor hidden = Tensor::zeros({26, model.config.hidden_size}, DType::bf16);
    forward_cached(machine.context, model, cache.layers, ids_tensor(both), sequences, hidden);
    CHECK(same_bits(hidden.rows(7, 19), alone));
}

TEST_CASE("cached: an MTP module over the cache equals the one over whole sequences") {
    test::Machine machine;
    const Model model = load_model(test::golden_path("mtp"), DType::f32);
    const auto golden =
        checkpoint::Safetensors::open(test::golden_path("mtp") / "golden.safetensors");
    const TokenBatch batch = test::golden_batch(golden.load("input_ids"));
    Saved saved = allocate_saved(model.config, batch.ids.count(), DType::f32, true, test::owned());
    evaluate(machine.context, model, batch, {.mtp_weight = 1}, saved);
    const int64_t count = batch.starts[1] - 1;  // the first sequence's positions with a next token
    Cache cache(model.config, {count}, DType::f32);
    CachedSequence sequence = {.pages = cache.pages[0]};
    for (const int64_t chunk : {int64_t(5), int64_t(1), count - 6}) {
        sequence.query_count = chunk;
        Tensor out = Tensor::zeros({chunk, model.config.hidden_size}, DType::f32);
        forward_mtp_cached(machine.context, model, cache.layers,
                           {0, saved.normed.rows(sequence.length, chunk),
                            saved.mtp[0].ids.rows(sequence.length, chunk)},
                           {&sequence, 1}, out);
        const Tensor expected = saved.mtp[0].normed.rows(sequence.length, chunk);
        CHECK(test::excess(out.values<float>(), expected.values<float>(), 1e-5) < 5e-5);
        sequence.length += chunk;
    }
}

TEST_CASE(
    "cached: a row that is in the cache is computed again to the same bits, and not written") {
    test::Machine machine;
    const Model model = load_model(test::golden_path("base"), DType::bf16);
    const auto ids = some_ids(70, model.config.vocab_size, 4);
    Cache cache(model.config, {70}, DType::bf16);
    CachedSequence sequence = {.pages = cache.pages[0], .query_count = 70};
    Tensor hidden = Tensor::zeros({70, model.config.hidden_size}, DType::bf16);
    forward_cached(machine.context, model, cache.layers, ids_tensor(ids), {&sequence, 1}, hidden);
    const Tensor before = cache.layers.layers[0].clone();
    const std::vector<int32_t> other(3, ids[0]);  // wrong tokens: what they wrote would be seen
    sequence = {.pages = cache.pages[0], .length = 66, .query_count = 3, .cached = 69};
    Tensor ignored = Tensor::zeros({3, model.config.hidden_size}, DType::bf16);
    forward_cached(machine.context, model, cache.layers, ids_tensor(other), {&sequence, 1},
                   ignored);
    CHECK(same_bits(before, cache.layers.layers[0]));
    sequence = {.pages = cache.pages[0], .length = 67, .query_count = 3, .cached = 69};
    Tensor again = Tensor::zeros({3, model.config.hidden_size}, DType::bf16);
    forward_cached(machine.context, model, cache.layers, ids_tensor({ids.begin() + 67, ids.end()}),
                   {&sequence, 1}, again);
    CHECK(same_bits(hidden.rows(67, 3), again));
}

TEST_CASE("cached: the last rows of 128K positions, in both forms of attention and in FP8") {
    constexpr int64_t kPositions = 131072, kRows = 3;
    test::Machine machine(3);
    Model model = load_model(test::golden_path("base"), DType::f32);
    model.cos_sin = rotary_table(model.config, kPositions, DType::f32);
    const auto ids = some_ids(kRows, model.config.vocab_size, 4);
    const auto run = [&](const Model& with, DType cache_dtype, int64_t expanded) {
        Cache cache(with.config, {kPositions}, cache_dtype);
        const int64_t columns = with.config.latent_dim();
        for (Tensor& layer : cache.layers.layers) {
            if (cache_dtype == DType::f8_e4m3) {
                std::ranges::fill(layer.values<uint8_t>(), uint8_t(0));
                continue;
            }
            for (int64_t i = 0; i < layer.shape()[0] * columns; ++i) {
                const float value = float(int32_t(mix_bits(uint64_t(i)) >> 32)) * 0x1p-31f;
                layer.data_as<float>()[i] = value;
            }
        }
        const CachedSequence sequence = {.pages = cache.pages[0],
                                         .length = kPositions - kRows,
                                         .query_count = kRows,
                                         .expanded = expanded};
        Tensor hidden =
            Tensor::zeros({kRows, with.config.hidden_size}, with.weights.embed_tokens.dtype());
        forward_cached(machine.context, with, cache.layers, ids_tensor(ids), {&sequence, 1},
                       hidden);
        return hidden;
    };
    const Tensor absorbed = run(model, DType::f32, 0);
    const Tensor expanded = run(model, DType::f32, kPositions);
    const Tensor mixed = run(model, DType::f32, kPositions - 1);
    CHECK(test::excess(absorbed.values<float>(), expanded.values<float>(), 1e-5) < 1e-4);
    CHECK(same_bits(mixed.rows(0, kRows - 1), expanded.rows(0, kRows - 1)));
    CHECK_FALSE(same_bits(absorbed, expanded));  // they are two forms
    Model narrow = load_model(test::golden_path("base"), DType::bf16);
    narrow.cos_sin = model.cos_sin;
    Tensor coded = Tensor::zeros(absorbed.shape(), DType::f32);
    ops::convert(machine.context, run(narrow, DType::f8_e4m3, 0), coded);
    for (const float value : coded.values<float>()) CHECK(std::isfinite(value));
}
