#include "model/attention_mla.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "model/norm.h"
#include "ops/attention_prefill.h"
#include "ops/latent_rows.h"
#include "ops/matmul.h"
#include "ops/rms_norm.h"
#include "ops/rotary.h"

namespace hadal::model {

namespace {

// The reference implementations build the two latent norms with their class default, whatever
// rms_norm_eps says.
constexpr double kLatentNormEpsilon = 1e-6;

// Keys and values that exist at one time in expanded form over the cache. All heads of V3 would
// take 8 GB at 128K positions.
constexpr int64_t kMostExpandedBytes = int64_t(64) << 20;

ops::AttentionShape attention_shape(const ModelConfig& config) {
    return {.heads = config.num_attention_heads,
            .qk_nope_head_dim = config.qk_nope_head_dim,
            .qk_rope_head_dim = config.qk_rope_head_dim,
            .v_head_dim = config.v_head_dim,
            .scale = config.attention_scale()};
}

ops::RotaryLayout query_rotary(const ModelConfig& config) {
    return {.heads = config.num_attention_heads,
            .head_dim = config.qk_head_dim(),
            .offset = config.qk_nope_head_dim,
            .rope_dim = config.qk_rope_head_dim};
}

ops::RotaryLayout key_rotary(const ModelConfig& config) {
    return {.heads = 1,
            .head_dim = config.qk_rope_head_dim,
            .offset = 0,
            .rope_dim = config.qk_rope_head_dim};
}

Tensor latent_part(const ModelConfig& config, const Tensor& ckv) {
    return ckv.columns(0, config.kv_lora_rank);  // [tokens, kv_lora_rank]
}

Tensor rope_part(const ModelConfig& config, const Tensor& ckv) {
    return ckv.columns(config.kv_lora_rank, config.qk_rope_head_dim);  // [tokens, rope]
}

void copy_columns(Context& context, const Tensor& from, Tensor to) {
    const size_t bytes = size_t(from.shape()[1] * size_of(from.dtype()));
    const int64_t from_stride = from.row_stride() * size_of(from.dtype());
    const int64_t to_stride = to.row_stride() * size_of(to.dtype());
    context.threads.parallel_for(from.shape()[0], 64, [&](int64_t t) {
        std::memcpy(to.data() + t * to_stride, from.data() + t * from_stride, bytes);
    });
}

/// One row of the cache ← [c after its norm | k_pe after rotation].
void copy_row(const Tensor& c, const Tensor& k_pe, int64_t t, int64_t place, Tensor& cache) {
    const auto bytes_of = [](const Tensor& x, int64_t columns) {
        return size_t(columns * size_of(x.dtype()));
    };
    std::byte* to = cache.data() + bytes_of(cache, place * cache.row_stride());
    const size_t c_bytes = bytes_of(c, c.shape()[1]);
    std::memcpy(to, c.data() + bytes_of(c, t * c.row_stride()), c_bytes);
    std::memcpy(to + c_bytes, k_pe.data() + bytes_of(k_pe, t * k_pe.row_stride()),
                bytes_of(k_pe, k_pe.shape()[1]));
}

/// Rows of the step that are not cached yet → the cache.
void append_latents(Context& context, const ModelConfig& config, const CachedLayout& layout,
                    const AttentionSaved& saved) {
    const Tensor& c = saved.c_normed.values;
    const Tensor k_pe = rope_part(config, saved.ckv);
    const Workspace::Scope scope(context.workspace);
    Tensor places = context.workspace.take({c.shape()[0]}, DType::i32);  // [tokens], −1: nowhere
    for (const CachedRows& rows : layout.sequences) {
        for (int64_t i = 0; i < rows.query_count; ++i) {
            const int64_t position = rows.length + i;
            places.values<int32_t>()[size_t(rows.first_row + i)] =
                position < rows.cached ? -1 : int32_t(layout.cache.row_of(rows.pages, position));
        }
    }
    Tensor cache = layout.cache.rows;
    if (cache.dtype() == DType::u8) {
        return ops::write_latent_rows(context, c, k_pe, places, cache);
    }
    const int32_t* place = places.data_as<int32_t>();
    context.threads.parallel_for(c.shape()[0], 64, [&](int64_t t) {
        if (place[t] >= 0) copy_row(c, k_pe, t, place[t], cache);
    });
}

/// Rows of a sequence's step that attend in expanded form: its first.
int64_t expanded_rows(const CachedRows& rows) {
    return std::clamp<int64_t>(rows.expanded - rows.length, 0, rows.query_count);
}

/// The cache → rows of the sequence's first positions.
void gather_latents(Context& context, const ops::LatentPages& cache, std::span<const int32_t> pages,
                    int64_t rank, Tensor& latents) {
    const int64_t count = latents.shape()[0];
    if (cache.rows.dtype() == DType::u8) {
        const Workspace::Scope scope(context.workspace);
        Tensor places = context.workspace.take({count}, DType::i32);
        for (int64_t position = 0; position < count; ++position) {
            places.values<int32_t>()[size_t(position)] = int32_t(cache.row_of(pages, position));
        }
        return ops::read_latent_rows(context, cache.rows, places, rank, latents);
    }
    const auto bytes = size_t(latents.shape()[1] * size_of(latents.dtype()));
    context.threads.parallel_for(count, 64, [&](int64_t position) {
        const int64_t row = cache.row_of(pages, position);
        std::memcpy(latents.data() + size_t(position) * bytes,
                    cache.rows.data() + size_t(row) * bytes, bytes);
    });
}

struct RowRange {
    int64_t begin, count;
};

/// The sequences' rows of the step; neighbours are joined.
std::pmr::vector<RowRange> ranges_of(Context& context,
                                     std::span<const ops::LatentSequence> sequences) {
    std::pmr::vector<RowRange> ranges(&context.workspace);
    for (const ops::LatentSequence& sequence : sequences) {
        if (ranges.empty() || ranges.back().begin + ranges.back().count != sequence.first_query) {
            ranges.push_back({sequence.first_query, 0});
        }
        ranges.back().count += sequence.query_count;
    }
    return ranges;
}

}  // namespace

AttentionSaved allocate_attention_saved(const ModelConfig& config, int64_t tokens,
                                        const Precision& precision,
                                        const ActivationMemory& memory) {
    const int64_t heads = config.num_attention_heads;
    const DType dtype = precision.dtype, statistics = statistics_dtype(dtype);
    AttentionSaved saved;
    if (config.q_lora_rank > 0) {
        saved.q_a = memory.kept("q_a", {tokens, config.q_lora_rank}, dtype);
        saved.q_a_normed = allocate_coded("q_a_normed", {tokens, config.q_lora_rank}, dtype,
                                          precision.activation(), memory.recomputed);
        saved.q_a_r = memory.kept("norm statistics", {tokens}, statistics);
    }
    saved.q = memory.recomputed("q", {tokens, heads * config.qk_head_dim()}, dtype);
    saved.ckv = memory.kept("ckv", {tokens, config.latent_dim()}, dtype);
    saved.c_normed = allocate_operand("c_normed", {tokens, config.kv_lora_rank}, dtype,
                                      precision.activation(), memory.recomputed);
    saved.c_r = memory.kept("norm statistics", {tokens}, statistics);
    const int64_t kv_width = heads * (config.qk_nope_head_dim + config.v_head_dim);
    saved.kv = memory.recomputed("kv", {tokens, kv_width}, dtype);
    // No tiles: forward's product and the weight gradient quantise different values, the second
    // those that came back from E5M6.
    const Shape o_shape{tokens, heads * config.v_head_dim};
    saved.o_kept = allocate_kept_e5m6("o", o_shape, precision, memory);
    const Allocate& o_memory = precision.fp8 ? memory.recomputed : memory.kept;
    saved.o = {.values = o_memory("o", o_shape, dtype), .fp8 = precision.activation()};
    saved.lse = memory.kept("lse", {tokens, heads}, statistics);
    return saved;
}

AttentionBackward allocate_attention_backward(const ModelConfig& config, int64_t tokens,
                                              const Precision& precision,
                                              const Allocate& allocate) {
    const int64_t heads = config.num_attention_heads;
    const DType dtype = precision.dtype;
    const auto operand = [&](std::string_view name, int64_t width) {
        return allocate_operand(name, {tokens, width}, dtype, precision.gradient(), allocate);
    };
    AttentionBackward work;
    work.d_q = operand("d_q", heads * config.qk_head_dim());
    if (config.q_lora_rank > 0) {
        work.d_q_a = operand("d_q_a", config.q_lora_rank);
        work.d_q_a_normed = allocate("d_q_a_normed", {tokens, config.q_lora_rank}, dtype);
    }
    work.d_kv = operand("d_kv", heads * (config.qk_nope_head_dim + config.v_head_dim));
    work.d_ckv = operand("d_ckv", config.latent_dim());
    work.d_c_normed = allocate("d_c_normed", {tokens, config.kv_lora_rank}, dtype);
    return work;
}

void AttentionMla::compress(Context& context, const Operand& x, const Tensor& positions,
                            const Tensor& cos_sin, AttentionSaved& saved) const {
    const Workspace::Scope scope(context.workspace);
    LinearList list(&context.workspace);
    if (config_.q_lora_rank > 0) {
        list.push_back({x, weights_.q_a_proj, saved.q_a});  // [tokens, q_lora_rank], eq. 6
    } else {
        list.push_back({x, weights_.q_proj, saved.q});  // [tokens, heads·qk_head_dim]
    }
    list.push_back({x, weights_.kv_a_proj_with_mqa, saved.ckv});  // [tokens, latent], eq. 1, 3
    Linear::forward(context, list);
    Tensor k_pe = rope_part(config_, saved.ckv);  // not normed
    ops::rotary(context, k_pe, key_rotary(config_), cos_sin, positions,
                ops::RotaryDirection::forward);
}

void AttentionMla::norm_latents(Context& context, AttentionSaved& saved) const {
    if (config_.q_lora_rank > 0) {
        norm(context, saved.q_a, weights_.q_a_layernorm, kLatentNormEpsilon, saved.q_a_normed,
             saved.q_a_r);
    }
    norm(context, latent_part(config_, saved.ckv), weights_.kv_a_layernorm, kLatentNormEpsilon,
         saved.c_normed, saved.c_r);
}

void AttentionMla::project_query(Context& context, const Tensor& positions, const Tensor& cos_sin,
                                 AttentionSaved& saved) const {
    if (config_.q_lora_rank > 0) {
        weights_.q_b_proj.forward(context, saved.q_a_normed, saved.q);  // [tokens, q], eq. 7, 8
    }
    ops::rotary(context, saved.q, query_rotary(config_), cos_sin, positions,
                ops::RotaryDirection::forward);
}

void AttentionMla::forward(Context& context, const SequenceLayout& layout, const Operand& x,
                           AttentionSaved& saved, Tensor& y) const {
    compress(context, x, layout.positions, layout.cos_sin, saved);
    norm_latents(context, saved);
    project_query(context, layout.positions, layout.cos_sin, saved);
    weights_.kv_b_proj.forward(context, saved.c_normed, saved.kv);  // [tokens, kv], eq. 2, 5
    ops::attention_prefill(context, {saved.q, saved.kv, rope_part(config_, saved.ckv)},
                           layout.starts, attention_shape(config_),
                           {saved.o.values, saved.lse});  // eq. 10
    store(context, saved.o.values, saved.o_kept);
    weights_.o_proj.forward_add(context, saved.o, y);  // eq. 11
}

void AttentionMla::recompute(Context& context, const SequenceLayout& layout, const Operand& x,
                             AttentionSaved& saved) const {
    norm_latents(context, saved);
    if (config_.q_lora_rank == 0) weights_.q_proj.forward(context, x, saved.q);
    project_query(context, layout.positions, layout.cos_sin, saved);
    weights_.kv_b_proj.forward(context, saved.c_normed, saved.kv);  // [tokens, kv]
    restore(context, saved.o_kept, saved.o.values);
}

void AttentionMla::forward_cached(Context& context, const CachedLayout& layout, const Operand& x,
                                  AttentionSaved& saved, Tensor& y) const {
    compress(context, x, layout.positions, layout.cos_sin, saved);
    norm_latents(context, saved);
    project_query(context, layout.positions, layout.cos_sin, saved);
    append_latents(context, config_, layout, saved);

    for (const CachedRows& rows : layout.sequences) attend_expanded(context, layout, rows, saved);
    attend_absorbed(context, layout, saved);
    weights_.o_proj.forward_add(context, saved.o, y);
}

/// Makes keys and values of all positions so far from the cached latents, some heads at a time.
void AttentionMla::attend_expanded(Context& context, const CachedLayout& layout,
                                   const CachedRows& rows, AttentionSaved& saved) const {
    const int64_t queries = expanded_rows(rows);
    if (queries == 0) return;
    const int64_t tokens = rows.length + queries, heads = config_.num_attention_heads;
    const int64_t rank = config_.kv_lora_rank, rope = config_.qk_rope_head_dim;
    const int64_t each = config_.qk_nope_head_dim + config_.v_head_dim;
    const DType dtype = saved.q.dtype();
    const Workspace::Scope scope(context.workspace);
    Tensor latents = context.workspace.take({tokens, rank + rope}, dtype);  // [tokens, latent]
    gather_latents(context, layout.cache, rows.pages, rank, latents);
    const int64_t at_once =
        std::clamp<int64_t>(kMostExpandedBytes / (tokens * each * size_of(dtype)), 1, heads);
    for (int64_t first = 0; first < heads; first += at_once) {
        const int64_t count = std::min(at_once, heads - first);
        const Workspace::Scope some_heads(context.workspace);
        Tensor kv = context.workspace.take({tokens, count * each}, dtype);
        ops::matmul_nt(context, latents.columns(0, rank),
                       weights_.kv_b_proj.weight.rows(first * each, count * each),
                       kv);  // eq. 2, 5
        ops::AttentionShape shape = attention_shape(config_);
        shape.heads = count;
        const int64_t q_width = config_.qk_head_dim(), v_width = config_.v_head_dim;
        Tensor o =
            saved.o.values.rows(rows.first_row, queries).columns(first * v_width, count * v_width);
        ops::attention_continue(
            context,
            {saved.q.rows(rows.first_row, queries).columns(first * q_width, count * q_width), kv,
             latents.columns(rank, rope)},
            shape, o);  // eq. 10
    }
}

void AttentionMla::attend_absorbed(Context& context, const CachedLayout& layout,
                                   AttentionSaved& saved) const {
    const DType dtype = saved.q.dtype();
    const int64_t tokens = saved.q.shape()[0];
    const int64_t heads = config_.num_attention_heads;
    const int64_t nope = config_.qk_nope_head_dim;
    const int64_t rope = config_.qk_rope_head_dim;
    const int64_t v = config_.v_head_dim;
    const int64_t rank = config_.kv_lora_rank;
    const Workspace::Scope scope(context.workspace);
    std::pmr::vector<ops::LatentSequence> sequences(&context.workspace);
    for (const CachedRows& rows : layout.sequences) {
        const int64_t others = expanded_rows(rows);
        if (others == rows.query_count) continue;
        sequences.push_back({rows.pages, rows.length + rows.query_count, rows.first_row + others,
                             rows.query_count - others});
    }
    const auto ranges = ranges_of(context, sequences);
    Tensor q_latent =
        context.workspace.take({tokens, heads * rank}, dtype);            // [tokens, heads·rank]
    Tensor q_pe = context.workspace.take({tokens, heads * rope}, dtype);  // [tokens, heads·rope]
    Tensor u = context.workspace.take({tokens, heads * rank}, dtype);     // [tokens, heads·rank]

    // W^UK moves from the keys to the query: q_nope·(W^UK c) = (W^UKᵀ q_nope)·c.
    std::pmr::vector<ops::Product> products(&context.workspace);
    products.reserve(ranges.size() * size_t(heads));
    for (const auto& [begin, count] : ranges) {
        const Tensor q = saved.q.rows(begin, count);
        for (int64_t h = 0; h < heads; ++h) {
            const Tensor w_uk = weights_.kv_b_proj.weight.rows(h * (nope + v), nope);
            products.push_back({q.columns(h * (nope + rope), nope), w_uk,  // [nope, rank]
                                q_latent.rows(begin, count).columns(h * rank, rank)});
            copy_columns(context, q.columns(h * (nope + rope) + nope, rope),
                         q_pe.rows(begin, count).columns(h * rope, rope));
        }
    }
    ops::matmul_nn(context, products);
    ops::attention_latent(context, q_latent, q_pe, layout.cache, sequences,
                          config_.attention_scale(), u);
    products.clear();
    for (const auto& [begin, count] : ranges) {
        const Tensor o = saved.o.values.rows(begin, count);
        for (int64_t h = 0; h < heads; ++h) {
            const Tensor w_uv = weights_.kv_b_proj.weight.rows(h * (nope + v) + nope, v);
            products.push_back({u.rows(begin, count).columns(h * rank, rank), w_uv,  // [v, rank]
                                o.columns(h * v, v)});
        }
    }
    ops::matmul_nt(context, products);
}

void AttentionMla::backward_input(Context& context, const SequenceLayout& layout,
                                  const Operand& d_y, const AttentionSaved& saved,
                                  AttentionBackward& work, Tensor& d_x) const {
    {
        const Workspace::Scope scope(context.workspace);
        Tensor d_o = context.workspace.take(saved.o.values.shape(), saved.o.values.dtype());
        weights_.o_proj.backward_input(context, d_y, d_o);  // [tokens, heads·v]
        const Tensor k_pe = rope_part(config_, saved.ckv);
        Tensor d_k_pe = rope_part(config_, work.d_ckv.values);
        ops::attention_prefill_backward(
            context, d_o,
            {.inputs = {.q = saved.q, .kv = saved.kv, .k_pe = k_pe},
             .o = saved.o.values,
             .lse = saved.lse},
            layout.starts, attention_shape(config_),
            {.d_q = work.d_q.values, .d_kv = work.d_kv.values, .d_k_pe = d_k_pe});
        ops::rotary(context, work.d_q.values, query_rotary(config_), layout.cos_sin,
                    layout.positions, ops::RotaryDirection::backward);
        ops::rotary(context, d_k_pe, key_rotary(config_), layout.cos_sin, layout.positions,
                    ops::RotaryDirection::backward);
        encode(context, work.d_q);
        encode(context, work.d_kv);
    }
    weights_.kv_b_proj.backward_input(context, work.d_kv,
                                      work.d_c_normed);  // [tokens, kv_lora_rank]
    Tensor d_c = latent_part(config_, work.d_ckv.values);
    ops::rms_norm_backward_input(context, work.d_c_normed, latent_part(config_, saved.ckv),
                                 weights_.kv_a_layernorm, saved.c_r, /*add=*/false, d_c);
    encode(context, work.d_ckv);
    weights_.kv_a_proj_with_mqa.backward_input(context, work.d_ckv, d_x);  // [tokens, hidden]
    if (config_.q_lora_rank > 0) {
        weights_.q_b_proj.backward_input(context, work.d_q, work.d_q_a_normed);
        ops::rms_norm_backward_input(context, work.d_q_a_normed, saved.q_a, weights_.q_a_layernorm,
                                     saved.q_a_r, /*add=*/false, work.d_q_a.values);
        encode(context, work.d_q_a);
        weights_.q_a_proj.backward_input_add(context, work.d_q_a, d_x);
    } else {
        weights_.q_proj.backward_input_add(context, work.d_q, d_x);
    }
}

void AttentionMla::backward_weight(Context& context, const Operand& x, const Operand& d_y,
                                   const AttentionSaved& saved, const AttentionBackward& work,
                                   AttentionWeights& gradients) const {
    std::vector<LinearGradientRows> list = {{d_y, saved.o, gradients.o_proj},
                                            {work.d_kv, saved.c_normed, gradients.kv_b_proj},
                                            {work.d_ckv, x, gradients.kv_a_proj_with_mqa}};
    if (config_.q_lora_rank > 0) {
        list.push_back({work.d_q, saved.q_a_normed, gradients.q_b_proj});
        list.push_back({work.d_q_a, x, gradients.q_a_proj});
        ops::rms_norm_backward_weight(context, work.d_q_a_normed, saved.q_a, saved.q_a_r,
                                      gradients.q_a_layernorm);
    } else {
        list.push_back({work.d_q, x, gradients.q_proj});
    }
    Linear::add_gradients(context, list);
    ops::rms_norm_backward_weight(context, work.d_c_normed, latent_part(config_, saved.ckv),
                                  saved.c_r, gradients.kv_a_layernorm);
}

}  // namespace hadal::model
