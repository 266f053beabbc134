// What the kernels of attention_prefill are given by ops/attention_prefill.cpp: one sequence and
// its tensors' rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/rows.h"

namespace hadal::ops::cpu {

struct PrefillSizes {
    int64_t heads, nope, rope, v;  // head dimensions
    double scale;
};

/// All tokens; a kernel is told which sequence to look at. `S` is double for T double, else float.
template <class T, class S>
struct PrefillForward {
    PrefillSizes sizes;
    Rows<const T> q;     // [queries, heads·(nope + rope)]
    Rows<const T> kv;    // [tokens, heads·(nope + v)]
    Rows<const T> k_pe;  // [tokens, rope]
    Rows<T> o;           // [queries, heads·v]
    Rows<S> lse;         // [queries, heads]; no memory where it is not wanted
};

/// One head of tokens [begin, end), as queries, of the sequence that starts at token `start`. Whole
/// sections of kQuerySection rows, counted from the sequence's first query, make the unit of work.
struct PrefillItem {
    int64_t head, start, begin, end;
    int64_t without_query = 0;  // token t is query t − without_query
};

/// Query rows of one item: enough to pay for packing the keys they meet, few enough to stay in the
/// second cache.
constexpr int64_t kQuerySection = 256;

template <Isa isa, class T, class S>
int64_t attention_prefill_scratch(const PrefillSizes& sizes);  // bytes
template <Isa isa, class T, class S>
void attention_prefill_item(const PrefillForward<T, S>& forward, const PrefillItem& item,
                            void* scratch);

template <class T, class S>
struct PrefillBackward {
    PrefillForward<T, S> forward;  // o and lse are read
    Rows<const T> d_o;             // [tokens, heads·v]
    Rows<T> d_q;                   // [tokens, heads·(nope + rope)]
    Rows<T> d_kv;                  // [tokens, heads·(nope + v)]
    Rows<S> d_k_pe;  // [heads·tokens, rope]: row head·tokens + token, each head's part
    int64_t tokens;
};

/// One head of one whole sequence [start, end).
template <Isa isa, class T, class S>
int64_t attention_prefill_backward_scratch(const PrefillSizes& sizes, int64_t longest);  // bytes
template <Isa isa, class T, class S>
void attention_prefill_backward_item(const PrefillBackward<T, S>& backward, int64_t head,
                                     int64_t start, int64_t end, void* scratch);

/// d_k_pe[t] = Σ_h of the parts, heads in rising order.
template <Isa isa, class T, class S>
void attention_prefill_sum_heads(const PrefillBackward<T, S>& backward, int64_t token,
                                 Rows<T> d_k_pe);

}  // namespace hadal::ops::cpu
