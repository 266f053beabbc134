// A token's choice costs one walk over its experts: a candidate is compared with the worst one
// kept, and few pass.
#include "ops/gate_topk.h"

#include <array>
#include <limits>

#include "ops/cpu/gate_topk.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

/// Far above any model's (V3: 8 of 256 in 8 groups), so that the lists of one token fit the stack.
constexpr int64_t kMaximumTopK = 64;
constexpr int64_t kMaximumGroups = 256;

/// The `capacity` largest of the values offered, largest first; of equals the one offered first.
/// NaN counts as lowest.
template <class L>
class Largest {
  public:
    explicit Largest(int64_t capacity) : capacity_(capacity) {}

    void offer(L value, int64_t index) {
        if (size_ == capacity_ && !above(value, entries_[size_t(size_ - 1)].value)) return;
        int64_t place = size_ < capacity_ ? size_++ : size_ - 1;
        for (; place > 0 && above(value, entries_[size_t(place - 1)].value); --place) {
            entries_[size_t(place)] = entries_[size_t(place - 1)];
        }
        entries_[size_t(place)] = {value, index};
    }
    int64_t size() const {
        return size_;
    }
    int64_t index(int64_t i) const {
        return entries_[size_t(i)].index;
    }

  private:
    struct Entry {
        L value;
        int64_t index;
    };
    static bool above(L value, L kept) {
        return value > kept || (kept != kept && value == value);
    }

    std::array<Entry, size_t(kMaximumGroups)> entries_;
    int64_t capacity_;
    int64_t size_ = 0;
};

struct Gate {
    GateOptions options;
    int64_t experts;

    int64_t group_size() const {
        return experts / options.n_group;
    }
};

/// Scores of all groups from the choices (scores + bias). Groups side by side: their comparisons do
/// not wait for one another, as those of one group would.
template <class L>
void group_scores(const Gate& gate, const L* choices, std::span<L> scores) {
    const int64_t size = gate.group_size();
    std::array<L, size_t(kMaximumGroups)> second;
    for (size_t g = 0; g < scores.size(); ++g) {
        scores[g] = -std::numeric_limits<L>::infinity();
        second[g] = scores[g];
    }
    for (int64_t i = 0; i < size; ++i) {
        for (size_t g = 0; g < scores.size(); ++g) {
            const L value = choices[int64_t(g) * size + i];
            second[g] = std::max(second[g], std::min(scores[g], value));
            scores[g] = std::max(scores[g], value);
        }
    }
    if (gate.options.group_score == GateOptions::GroupScore::maximum || size == 1) return;
    for (size_t g = 0; g < scores.size(); ++g) scores[g] += second[g];
}

/// The chosen experts of one token, ascending.
template <class L>
void choose(const Gate& gate, const L* choices, int32_t* ids) {
    Largest<L> experts(gate.options.top_k);
    const int64_t size = gate.group_size();
    const auto offer_group = [&](int64_t group) {
        for (int64_t i = group * size; i < (group + 1) * size; ++i) experts.offer(choices[i], i);
    };
    if (gate.options.topk_group == gate.options.n_group) {
        for (int64_t g = 0; g < gate.options.n_group; ++g) offer_group(g);
    } else {
        Largest<L> groups(gate.options.topk_group);
        std::array<L, size_t(kMaximumGroups)> scores;
        group_scores(gate, choices, std::span(scores).first(size_t(gate.options.n_group)));
        for (int64_t g = 0; g < gate.options.n_group; ++g) groups.offer(scores[size_t(g)], g);
        // Ascending, so that among equal experts the lower index is offered first.
        std::array<int64_t, size_t(kMaximumGroups)> order;
        for (int64_t i = 0; i < groups.size(); ++i) order[size_t(i)] = groups.index(i);
        std::sort(order.begin(), order.begin() + groups.size());
        for (int64_t i = 0; i < groups.size(); ++i) offer_group(order[size_t(i)]);
    }
    for (int64_t k = 0; k < experts.size(); ++k) ids[k] = int32_t(experts.index(k));
    std::sort(ids, ids + experts.size());
}

/// g of eq. 13, times the factor.
template <class L>
void combine_weights(const GateOptions& options, const L* scores, const int32_t* ids, L* weights) {
    L sum = 0;
    for (int64_t k = 0; k < options.top_k; ++k) sum += scores[ids[k]];
    const L divisor = options.norm_topk_prob ? sum + L(1e-20) : L(1);
    for (int64_t k = 0; k < options.top_k; ++k) {
        weights[k] = scores[ids[k]] / divisor * L(options.routed_scaling_factor);
    }
}

void check_options(const GateOptions& options, int64_t experts) {
    const bool fits = options.n_group >= 1 && options.n_group <= kMaximumGroups &&
                      experts % options.n_group == 0 && options.topk_group >= 1 &&
                      options.topk_group <= options.n_group && options.top_k >= 1 &&
                      options.top_k <= kMaximumTopK &&
                      options.top_k <= options.topk_group * (experts / options.n_group);
    if (!fits) {
        throw Error(Error::Kind::bad_input,
                    concat("the gate cannot choose num_experts_per_tok ", options.top_k,
                           " experts of ", experts, " with n_group ", options.n_group,
                           " and topk_group ", options.topk_group,
                           " (n_group must divide the experts, and the groups allowed must hold "
                           "enough of them; at most ",
                           kMaximumTopK, " experts a token and ", kMaximumGroups, " groups)"));
    }
}

void require_scores(const Tensor& scores, DType dtype, const Shape& shape) {
    if (dtype != DType::f64) dtype = DType::f32;
    require(scores, dtype, shape, "gate_topk: scores");
}

template <class L>
struct GateRows {
    const L* logits;    // [tokens, experts]
    const float* bias;  // [experts] or null
    L* scores;          // [tokens, experts]
    L* choices;         // [threads, experts] scratch
    int32_t* ids;       // [tokens, top_k]
    L* weights;         // [tokens, top_k]
};

template <Isa isa, class L>
void gate_row(const Gate& gate, const GateRows<L>& rows, int64_t t, int thread) {
    const int64_t experts = gate.experts;
    const int64_t top_k = gate.options.top_k;
    L* scores = rows.scores + t * experts;
    if (gate.options.scoring == GateOptions::Scoring::sigmoid) {
        cpu::gate_sigmoid<isa, L>(rows.logits + t * experts, experts, scores);
    } else {
        cpu::gate_softmax<isa, L>(rows.logits + t * experts, experts, scores);
    }
    const L* choices = scores;
    if (rows.bias != nullptr) {
        L* biased = rows.choices + thread * experts;
        for (int64_t i = 0; i < experts; ++i) biased[i] = scores[i] + L(rows.bias[i]);
        choices = biased;
    }
    choose(gate, choices, rows.ids + t * top_k);
    combine_weights(gate.options, scores, rows.ids + t * top_k, rows.weights + t * top_k);
}

template <class L>
void gate_rows(Context& context, const Gate& gate, GateRows<L> rows, int64_t tokens) {
    const Workspace::Scope scope(context.workspace);
    rows.choices = context.workspace.take<L>(context.threads.size() * gate.experts).data();
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_ranges(tokens, rows_per_task(8 * gate.experts),
                                        [&](int64_t begin, int64_t end, int thread) {
                                            for (int64_t t = begin; t < end; ++t)
                                                gate_row<isa, L>(gate, rows, t, thread);
                                        });
    });
}

template <class L>
void backward_row(const GateOptions& options, const L* d_weights, const L* scores,
                  const int32_t* ids, std::span<L> d_scores) {
    std::fill(d_scores.begin(), d_scores.end(), L(0));
    const L factor = L(options.routed_scaling_factor);
    L sum = 0;
    L weighted = 0;
    for (int64_t k = 0; k < options.top_k; ++k) {
        sum += scores[ids[k]];
        weighted += d_weights[k] * scores[ids[k]];
    }
    const L divisor = options.norm_topk_prob ? sum + L(1e-20) : L(1);
    const L mean = options.norm_topk_prob ? weighted / divisor : L(0);
    for (int64_t k = 0; k < options.top_k; ++k) {
        d_scores[size_t(ids[k])] = factor * (d_weights[k] - mean) / divisor;
    }
}

template <class L>
void backward_rows(Context& context, const Tensor& d_weights, const Tensor& scores,
                   const Tensor& ids, const GateOptions& options, Tensor& d_scores) {
    const auto [tokens, experts] = scores.shape<2>();
    context.threads.parallel_for(tokens, rows_per_task(experts), [&](int64_t t) {
        backward_row<L>(options, d_weights.row<L>(t).data(), scores.row<L>(t).data(),
                        ids.row<int32_t>(t).data(), d_scores.row<L>(t));
    });
}

template <class L>
void scores_backward_rows(Context& context, const Tensor& d_scores, const Tensor& scores,
                          const GateOptions& options, Tensor& d_logits) {
    const auto [tokens, experts] = scores.shape<2>();
    const bool sigmoid = options.scoring == GateOptions::Scoring::sigmoid;
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        const auto kernel =
            sigmoid ? &cpu::gate_sigmoid_backward<isa, L> : &cpu::gate_softmax_backward<isa, L>;
        context.threads.parallel_for(tokens, rows_per_task(experts), [&](int64_t t) {
            kernel(d_scores.row<L>(t).data(), scores.row<L>(t).data(), scores.shape()[1],
                   d_logits.row<L>(t).data());
        });
    });
}

}  // namespace

void gate_topk(Context& context, const Tensor& logits, const Tensor& bias,
               const GateOptions& options, Tensor& scores, Tensor& ids, Tensor& weights) {
    const auto [tokens, experts] = logits.shape<2>();
    check_options(options, experts);
    require_scores(logits, logits.dtype(), {tokens, experts});
    require(scores, logits.dtype(), {tokens, experts}, "gate_topk: scores");
    require(ids, DType::i32, {tokens, options.top_k}, "gate_topk: ids");
    require(weights, logits.dtype(), {tokens, options.top_k}, "gate_topk: weights");
    if (!bias.empty()) require(bias, DType::f32, {experts}, "gate_topk: bias");
    HADAL_ASSERT(logits.contiguous() && scores.contiguous() && ids.contiguous() &&
                 weights.contiguous());
    const float* bias_values = bias.empty() ? nullptr : bias.data_as<float>();
    const Gate gate{options, experts};
    if (logits.dtype() == DType::f64) {
        return gate_rows<double>(context, gate,
                                 {logits.data_as<double>(), bias_values, scores.data_as<double>(),
                                  nullptr, ids.data_as<int32_t>(), weights.data_as<double>()},
                                 tokens);
    }
    gate_rows<float>(context, gate,
                     {logits.data_as<float>(), bias_values, scores.data_as<float>(), nullptr,
                      ids.data_as<int32_t>(), weights.data_as<float>()},
                     tokens);
}

void gate_topk_backward(Context& context, const Tensor& d_weights, const Tensor& scores,
                        const Tensor& ids, const GateOptions& options, Tensor& d_scores) {
    const auto [tokens, experts] = scores.shape<2>();
    require_scores(scores, scores.dtype(), {tokens, experts});
    require(d_weights, scores.dtype(), {tokens, options.top_k}, "gate_topk: d_weights");
    require(ids, DType::i32, {tokens, options.top_k}, "gate_topk: ids");
    require(d_scores, scores.dtype(), {tokens, experts}, "gate_topk: d_scores");
    if (scores.dtype() == DType::f64) {
        return backward_rows<double>(context, d_weights, scores, ids, options, d_scores);
    }
    backward_rows<float>(context, d_weights, scores, ids, options, d_scores);
}

void gate_scores_backward(Context& context, const Tensor& d_scores, const Tensor& scores,
                          const GateOptions& options, Tensor& d_logits) {
    const auto [tokens, experts] = scores.shape<2>();
    require_scores(scores, scores.dtype(), {tokens, experts});
    require(d_scores, scores.dtype(), {tokens, experts}, "gate_topk: d_scores");
    require(d_logits, scores.dtype(), {tokens, experts}, "gate_topk: d_logits");
    if (scores.dtype() == DType::f64) {
        return scores_backward_rows<double>(context, d_scores, scores, options, d_logits);
    }
    scores_backward_rows<float>(context, d_scores, scores, options, d_logits);
}

}  // namespace hadal::ops
