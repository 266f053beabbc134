#include "infer/model_runner.h"

#include <algorithm>
#include <cstring>

namespace hadal::infer {

static_assert(kPageTokens == ops::kLatentPageRows);

namespace {

void copy_row(const Tensor& from, int64_t from_row, Tensor& to, int64_t to_row) {
    const int64_t bytes = from.shape()[1] * size_of(from.dtype());  // rows are contiguous
    std::memcpy(to.data() + to_row * bytes, from.data() + from_row * bytes, size_t(bytes));
}

}  // namespace

ModelRunner::ModelRunner(Context& context, const model::Model& model, const Sizes& sizes)
    : context_(context), model_(model) {
    const int64_t hidden = model.config.hidden_size;
    const DType dtype = model.weights.embed_tokens.dtype();
    cache_ = model::allocate_latent_cache(model.config, sizes.pages, sizes.dtype);
    ids_ = Tensor::uninitialized({sizes.max_rows}, DType::i32);
    for (Tensor* rows : {&hidden_, &mtp_input_, &mtp_hidden_, &head_input_}) {
        *rows = Tensor::uninitialized({sizes.max_rows, hidden}, dtype);
    }
    logits_ = Tensor::uninitialized({1, model.config.vocab_size}, DType::f32);
}

void ModelRunner::copy_pages(std::span<const PageCopy> copies) {
    for (const PageCopy& copy : copies) {
        for (Tensor& layer : cache_.layers) {
            Tensor to = layer.rows(copy.to * kPageTokens, copy.rows);
            to.copy_from(layer.rows(copy.from * kPageTokens, copy.rows));
        }
    }
}

void ModelRunner::forward(const Step& step) {
    copy_pages(step.copies);
    sequences_.clear();
    first_rows_.clear();
    int32_t* ids = ids_.data_as<int32_t>();
    int64_t rows = 0;
    for (const Run& run : step.runs) {
        const Sequence& sequence = *run.sequence;
        const auto known = int64_t(sequence.tokens.size());
        sequences_.push_back({.pages = sequence.pages,
                              .length = run.begin,
                              .query_count = run.count,
                              .cached = sequence.cached,
                              .expanded = sequence.expanded});
        first_rows_.push_back(rows);
        for (int64_t i = run.begin; i < run.begin + run.count; ++i) {
            ids[rows++] =
                i < known ? sequence.tokens[size_t(i)] : sequence.drafts[size_t(i - known)];
        }
    }
    Tensor hidden = hidden_.rows(0, rows);
    model::forward_cached(context_, model_, cache_, ids_.rows(0, rows), sequences_, hidden,
                          &expert_load_);
}

Tensor ModelRunner::head(const Tensor& hidden, std::span<const int64_t> rows) {
    const auto count = int64_t(rows.size());
    if (logits_.shape()[0] < count) {
        logits_ = Tensor::uninitialized({count, model_.config.vocab_size}, DType::f32);
    }
    for (int64_t i = 0; i < count; ++i) copy_row(hidden, rows[size_t(i)], head_input_, i);
    Tensor logits = logits_.rows(0, count);
    model::head_logits(context_, model_, head_input_.rows(0, count), logits);
    return logits;
}

Tensor ModelRunner::logits(std::span<const int64_t> rows) {
    return head(hidden_, rows);
}

void ModelRunner::follow(const Step& step, std::span<const int64_t> counts) {
    sequences_.clear();
    last_rows_.assign(step.runs.size(), {});
    int32_t* ids = ids_.data_as<int32_t>();
    int64_t rows = 0;
    for (size_t r = 0; r < step.runs.size(); ++r) {
        const Run& run = step.runs[r];
        if (counts[r] == 0) continue;
        sequences_.push_back({.pages = run.sequence->pages,
                              .length = run.begin,
                              .query_count = counts[r],
                              .cached = run.begin});
        for (int64_t i = 0; i < counts[r]; ++i, ++rows) {
            ids[rows] = run.sequence->tokens[size_t(run.begin + i + 1)];
            copy_row(hidden_, first_rows_[r] + i, mtp_input_, rows);
        }
        last_rows_[r] = {.row = rows - 1, .length = run.begin + counts[r]};
    }
    if (rows == 0) return;
    Tensor out = mtp_hidden_.rows(0, rows);
    model::forward_mtp_cached(context_, model_, cache_,
                              {0, mtp_input_.rows(0, rows), ids_.rows(0, rows)}, sequences_, out);
}

void ModelRunner::draft(const Step& step, std::vector<DraftWish> wishes) {
    const auto fulfilled = [](const DraftWish& wish) { return wish.count == 0; };
    for (std::erase_if(wishes, fulfilled); !wishes.empty(); feed_back(step, wishes)) {
        std::vector<int64_t> rows;
        for (const DraftWish& wish : wishes) rows.push_back(last_rows_[wish.run].row);
        const Tensor logits = head(mtp_hidden_, rows);
        context_.threads.parallel_for(int64_t(wishes.size()), [&](int64_t i) {
            DraftWish& wish = wishes[size_t(i)];
            const auto row = logits.row<float>(i).first(size_t(wish.num_ids));
            const auto best = std::ranges::max_element(row) - row.begin();
            step.runs[wish.run].sequence->drafts.push_back(int32_t(best));
            --wish.count;
        });
        std::erase_if(wishes, fulfilled);
    }
}

/// One row more of the module for each run: its last output with the guess that was made from it.
void ModelRunner::feed_back(const Step& step, std::span<const DraftWish> wishes) {
    if (wishes.empty()) return;
    sequences_.clear();
    const auto rows = int64_t(wishes.size());
    for (int64_t i = 0; i < rows; ++i) {
        const Sequence& sequence = *step.runs[wishes[size_t(i)].run].sequence;
        LastRow& last = last_rows_[wishes[size_t(i)].run];
        sequences_.push_back({.pages = sequence.pages,
                              .length = last.length,
                              .query_count = 1,
                              .cached = last.length});
        ids_.data_as<int32_t>()[i] = sequence.drafts.back();
        copy_row(mtp_hidden_, last.row, mtp_input_, i);
        last = {.row = i, .length = last.length + 1};
    }
    Tensor out = mtp_hidden_.rows(0, rows);
    model::forward_mtp_cached(context_, model_, cache_,
                              {0, mtp_input_.rows(0, rows), ids_.rows(0, rows)}, sequences_, out);
}

}  // namespace hadal::infer
