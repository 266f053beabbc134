// Runs a planned step on the model: packs the runs' tokens, owns the latent cache and the step's
// hidden states. Knows nothing of requests.
#pragma once

#include <span>
#include <vector>

#include "core/context.h"
#include "infer/batch_scheduler.h"
#include "model/transformer.h"

namespace hadal::infer {

class ModelRunner {
  public:
    struct Sizes {
        int64_t pages;     // of the cache
        int64_t max_rows;  // of a step
        DType dtype;       // of the cache: the model's, or f8_e4m3
    };
    /// `context` and `model` must outlive the runner.
    ModelRunner(Context& context, const model::Model& model, const Sizes& sizes);

    /// Copies the pages, then the forward pass of all runs.
    void forward(const Step& step);

    /// Row of the step in which a run begins.
    int64_t first_row(size_t run) const {
        return first_rows_[run];
    }
    /// Logits of rows of the step, counted over its runs.   [rows, vocab] f32
    Tensor logits(std::span<const int64_t> rows);

    /// Brings the MTP module's rows of the first `counts[i]` rows of run i behind the main ones;
    /// their next tokens are in the sequence.
    void follow(const Step& step, std::span<const int64_t> counts);

    /// Guesses for some runs, appended to their sequences' drafts: the most probable id below
    /// `num_ids` after the module's last row of the run; fed back with that id, the module's output
    /// gives the next.
    struct DraftWish {
        size_t run;  // of the step; follow() gave it rows
        int64_t count;
        int64_t num_ids;
    };
    void draft(const Step& step, std::vector<DraftWish> wishes);

    /// Rows that went to each expert so far: [MoE layer][expert].
    const std::vector<std::vector<int64_t>>& expert_load() const {
        return expert_load_;
    }
    const model::LatentCache& cache() const {
        return cache_;
    }

  private:
    struct LastRow {         // of a run in the MTP module
        int64_t row = -1;    // in mtp_hidden_
        int64_t length = 0;  // rows of the sequence up to and with it
    };

    void copy_pages(std::span<const PageCopy> copies);
    void feed_back(const Step& step, std::span<const DraftWish> wishes);
    Tensor head(const Tensor& hidden, std::span<const int64_t> rows);

    Context& context_;
    const model::Model& model_;
    model::LatentCache cache_;
    Tensor ids_;         // [max_rows] i32
    Tensor hidden_;      // [max_rows, hidden] of the step, after the final norm
    Tensor mtp_input_;   // [max_rows, hidden] rows of hidden_ that the module takes
    Tensor mtp_hidden_;  // [max_rows, hidden] the module's output, after its norm
    Tensor head_input_;  // [max_rows, hidden]
    Tensor logits_;      // [rows so far, vocab] f32, grown when more are asked for
    std::vector<std::vector<int64_t>> expert_load_;
    std::vector<model::CachedSequence> sequences_;
    std::vector<int64_t> first_rows_;  // of each run in hidden_
    std::vector<LastRow> last_rows_;   // of each run
};

}  // namespace hadal::infer
