// Causal attention over expanded keys and values, forward: Dao 2023's order with key blocks
// outside, so that a block is packed once for a whole section of queries.
//
// Data flow of an item (one head, 256 queries): copy q; for each block of 128 keys up to the last
// query: copy [k_nope | k_pe], transpose into panels, interleave v; for each 64 queries that see
// the block: scores, softmax, o += p·v.
//
// At head widths (128 + 64) / 128 a block of 64 queries and 128 keys is 5.2 MFLOP on 200 KB of
// operands in the second cache; its 8192 exponentials take about as long as AMX takes for the
// products. Measured: bench/results.md.
#include "ops/cpu/attention_prefill.h"

#include "ops/cpu/attention_softmax.h"

namespace hadal::ops::cpu {

namespace {

template <class T>
struct ForwardScratch {
    using N = Numbers<T>;
    QueryRows<T> rows;
    KeyBlock<T> keys;
    SoftmaxScratch<T> softmax;
    typename N::Packed* copied;  // [kKeyBlock, k_stride or v_width] rows of keys, then of values
    int64_t bytes;

    ForwardScratch(const PrefillSizes& sizes, void* memory) {
        Carver carver(memory);
        const int64_t k_dim = sizes.nope + sizes.rope;
        rows = QueryRows<T>::carve(carver, kQuerySection, k_dim, sizes.v, sizes.scale);
        keys.k = carver.take<typename N::Packed>(kKeyBlock * rows.k_stride);
        keys.v = carver.take<typename N::Packed>(kKeyBlock * rows.v_width);
        softmax = SoftmaxScratch<T>::carve(carver);
        copied = carver.take<typename N::Packed>(
            kKeyBlock * (rows.k_stride > rows.v_width ? rows.k_stride : rows.v_width));
        bytes = carver.used();
    }
};

template <class T, class S>
void load_queries(const PrefillForward<T, S>& forward, const PrefillItem& item,
                  QueryRows<T>& rows) {
    const int64_t dim = forward.sizes.nope + forward.sizes.rope;
    rows.count = item.end - item.begin;
    copy_rows(forward.q.at(item.begin - item.without_query, item.head * dim), forward.q.stride,
              rows.count, dim, rows.q, rows.k_stride);
    zero_padding(rows.q, rows.k_stride, rows.count, dim, round_up(rows.count, kRowBlock));
    reset(rows);
}

/// Keys and values of tokens [begin, begin + count).
template <class T, class S>
void load_keys(const PrefillForward<T, S>& forward, int64_t head, int64_t begin, int64_t count,
               ForwardScratch<T>& scratch) {
    const auto& [heads, nope, rope, v, scale] = forward.sizes;
    const QueryRows<T>& rows = scratch.rows;
    auto* copied = scratch.copied;
    const int64_t depth = padded_keys<T>(count), column = head * (nope + v);
    scratch.keys.depth = depth;
    scratch.keys.v_panel = kPanel * depth;
    copy_rows(forward.kv.at(begin, column), forward.kv.stride, count, nope, copied, rows.k_stride);
    copy_rows(forward.k_pe.at(begin), forward.k_pe.stride, count, rope, copied + nope,
              rows.k_stride);
    zero_padding(copied, rows.k_stride, count, nope + rope, depth);
    pack_transposed<T>(copied, rows.k_stride, depth, rows.k_depth, scratch.keys.k);
    copy_rows(forward.kv.at(begin, column + nope), forward.kv.stride, count, v, copied,
              rows.v_width);
    zero_padding(copied, rows.v_width, count, v, depth);
    pack_rows<T>(copied, rows.v_width, depth, rows.v_width, scratch.keys.v);
}

template <class T, class S>
void store_results(const PrefillForward<T, S>& forward, const PrefillItem& item,
                   const QueryRows<T>& rows) {
    for (int64_t r = 0; r < rows.count; ++r) {
        const int64_t query = item.begin - item.without_query + r;
        T* o = forward.o.at(query, item.head * forward.sizes.v);
        store_scaled(rows.o + r * rows.v_width, S(1) / rows.l[r], forward.sizes.v, o);
        if (forward.lse.data == nullptr) continue;
        *forward.lse.at(query, item.head) = rows.m[r] * S(kLn2) + logarithm(rows.l[r]);
    }
}

}  // namespace

template <Isa isa, class T, class S>
int64_t attention_prefill_scratch(const PrefillSizes& sizes) {
    return ForwardScratch<T>(sizes, nullptr).bytes;
}

template <Isa isa, class T, class S>
void attention_prefill_item(const PrefillForward<T, S>& forward, const PrefillItem& item,
                            void* memory) {
    const TileScope tiles;
    ForwardScratch<T> scratch(forward.sizes, memory);
    load_queries(forward, item, scratch.rows);
    for (int64_t block = item.start; block < item.end; block += kKeyBlock) {
        const int64_t keys = item.end - block < kKeyBlock ? item.end - block : kKeyBlock;
        load_keys(forward, item.head, block, keys, scratch);
        for (int64_t first = 0; first < scratch.rows.count; first += kRowBlock) {
            const int64_t before =
                item.begin + first - block;  // keys of the block before row `first`
            if (before + kRowBlock <= 0) continue;
            const auto visible = [&](int64_t r) {
                const int64_t seen = before + r + 1;
                return seen < keys ? seen : keys;
            };
            attend(scratch.rows, first, scratch.keys, padded_keys<T>(visible(kRowBlock - 1)),
                   visible, scratch.softmax);
        }
    }
    store_results(forward, item, scratch.rows);
}

template int64_t attention_prefill_scratch<kIsa, bf16, float>(const PrefillSizes&);
template int64_t attention_prefill_scratch<kIsa, float, float>(const PrefillSizes&);
template int64_t attention_prefill_scratch<kIsa, double, double>(const PrefillSizes&);
template void attention_prefill_item<kIsa, bf16, float>(const PrefillForward<bf16, float>&,
                                                        const PrefillItem&, void*);
template void attention_prefill_item<kIsa, float, float>(const PrefillForward<float, float>&,
                                                         const PrefillItem&, void*);
template void attention_prefill_item<kIsa, double, double>(const PrefillForward<double, double>&,
                                                           const PrefillItem&, void*);

}  // namespace hadal::ops::cpu
