#include "train/pretrain.h"

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <vector>

#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_thread.h"
#include "checkpoint/staged_directory.h"
#include "core/error.h"
#include "core/file_map.h"
#include "train/data_sources.h"
#include "train/export_model.h"
#include "train/run_lock.h"
#include "train/run_log.h"
#include "train/spike_record.h"
#include "train/trainer.h"

namespace hadal::train {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using ExpertLoads = std::vector<std::vector<int64_t>>;

int64_t peak_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t(usage.ru_maxrss) * 1024;
}

bool holds_run(const fs::path& run) {
    return fs::exists(run / "metrics.jsonl") || fs::exists(run / "snapshots") ||
           fs::exists(run / "model");
}

/// Deletes what a run writes and nothing else: run.out may be a directory with other things in it.
void delete_run(const fs::path& run) {
    for (const char* name :
         {"snapshots", "model", "model-ema", "spikes", "recipe.toml", "metrics.jsonl", "loss.svg",
          "expert_load.svg", "expert_load.json", "expert_balance.svg", "log.txt"}) {
        fs::remove_all(run / name);
    }
    for (const auto& entry : fs::directory_iterator(run)) {
        if (entry.path().filename().string().starts_with("events.out.tfevents."))
            fs::remove(entry.path());
    }
}

/// Pictures and texts that a kill left half written beside the whole ones.
void remove_leftovers(const fs::path& run) {
    std::vector<fs::path> leftovers;
    for (const auto& entry : fs::directory_iterator(run)) {
        const bool temporary = entry.path().filename().string().find(".tmp-") != std::string::npos;
        if (temporary && entry.is_regular_file()) leftovers.push_back(entry.path());
    }
    for (const fs::path& path : leftovers) fs::remove(path);
}

/// One run from its beginning, or its last snapshot, to its end.
class Run {
  public:
    Run(Context& context, const Recipe& recipe, const PretrainOptions& options)
        : context_(context),
          recipe_(recipe),
          options_(options),
          out_(recipe.run.out),
          lock_(fs::is_directory(out_) ? std::make_unique<RunLock>(out_) : nullptr),
          trainer_(context, recipe),
          snapshots_(out_ / "snapshots",
                     {.keep = recipe.snapshot.keep, .keep_every = recipe.snapshot.keep_every}) {}

    PretrainSummary operator()() {
        prepare();
        RunLog log(out_, trainer_.progress().step, recipe_.log.tensorboard, options_.warn);
        log_ = &log;
        summary_.resumed_from = trainer_.progress().step;
        log.note(concat(summary_.resumed_from > 0 ? "resumed after step " : "started at step ",
                        summary_.resumed_from));
        bytes_per_token_ = find_data(recipe_).validation_bytes_per_token;
        try {
            if (summary_.resumed_from == 0) add_first_validation();
            while (!trainer_.finished()) {
                train_step();
                for (const auto& outcome : snapshots_.outcomes()) take(outcome);
                if (too_many_failures()) throw_failed_snapshots();
                if (options_.stop_requested()) break;
            }
            finish();
        } catch (const std::exception& error) {
            log.note(concat("error after step ", trainer_.progress().step, ": ", error.what()));
            throw;
        }
        return summary_;
    }

  private:
    void prepare() {
        const bool in_the_way = !options_.resume && holds_run(out_);
        if (in_the_way && !options_.force) {
            throw Error(Error::Kind::bad_input,
                        concat("there is a run already: ", out_.string(),
                               " (--resume continues it, --force deletes it, --set run.out=… "
                               "starts another)"));
        }
        checkpoint::create_directories_durably(out_);
        if (!lock_) lock_ = std::make_unique<RunLock>(out_);
        if (!lock_->held()) {
            options_.warn(concat("this file system has no locks, start no second job there: ",
                                 out_.string()));
        }
        if (in_the_way) delete_run(out_);
        if (options_.resume) {
            remove_leftovers(out_);
            auto latest = checkpoint::open_latest_snapshot(out_ / "snapshots");
            for (const std::string& reason : latest.skipped) options_.warn(reason);
            if (latest.snapshot) {
                trainer_.restore(*latest.snapshot,
                                 {.allow_change = options_.allow_change, .warn = options_.warn});
            }
            if (!latest.snapshot && !latest.skipped.empty()) {
                throw Error(
                    Error::Kind::corrupt_file,
                    concat("none of the snapshots can be read: ", (out_ / "snapshots").string(),
                           " (--force without --resume starts anew)"));
            }
        }
        saved_step_ = trainer_.progress().step;
        write_file_atomically(out_ / "recipe.toml", recipe_text(recipe_));
    }

    /// The untrained model's loss, as a line of step 0, so that curves begin where learning does.
    void add_first_validation() {
        Metrics metrics{.seq_len = recipe_.data.seq_len, .bytes_peak = peak_bytes()};
        if (!add_validation(metrics)) return;
        metrics.loss = metrics.validation_loss.value_or(0);
        log_->add(metrics, {});
    }

    bool add_validation(Metrics& metrics) {
        const auto validation = trainer_.validate();
        if (!validation) return false;
        metrics.validation_loss = validation->loss;
        metrics.validation_mtp_loss = validation->mtp_loss;
        metrics.validation_max_violation = max_violation(validation->expert_load);
        if (const auto average = trainer_.validate_average()) {
            metrics.ema_validation_loss = average->loss;
        }
        if (bytes_per_token_ > 0) {
            metrics.bits_per_byte = validation->loss / std::numbers::ln2 / bytes_per_token_;
        }
        return true;
    }

    void train_step() {
        const auto begin = Clock::now();
        StepResult result = trainer_.compute_step();
        if (!result.verdict.finite || result.verdict.spike()) record_spike(result);
        trainer_.finish_step(result);
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
        if (!result.balance.newly.empty()) warn_of_starvation(result.balance.newly);
        Metrics metrics = step_metrics(result, seconds);
        if (trainer_.finished() || is_due(recipe_.validation.every)) add_validation(metrics);
        // The loads of a skipped step are those of a batch that counts for nothing.
        log_->add(metrics, result.verdict.skip ? ExpertLoads{} : result.expert_load);
        options_.on_step(metrics);
        if (result.verdict.diverged) stop_diverged(result);
        if (is_due(recipe_.snapshot.every)) save();
    }

    Metrics step_metrics(const StepResult& result, double seconds) const {
        const Progress& progress = trainer_.progress();
        const optim::GuardState guard = trainer_.guard_state();
        return {.step = progress.step,
                .tokens = progress.tokens,
                .loss = result.loss,
                .mtp_loss = result.mtp_loss,
                .balance_loss = result.balance_loss,
                .grad_norm = result.verdict.norm,
                .learning_rate = result.learning_rate,
                .batch = result.sequences,
                .seq_len = recipe_.data.seq_len,
                .tokens_per_second = double(result.sequences * recipe_.data.seq_len) / seconds,
                .step_seconds = seconds,
                .data_seconds = result.data_seconds,
                .max_violation = max_violation(result.expert_load),
                .expert_load_entropy = expert_load_entropy(result.expert_load),
                .layer_max_violation = layer_max_violation(result.expert_load),
                .dead_experts = result.balance.dead,
                .starved_experts = result.balance.starved,
                .skipped = guard.skipped,
                .spikes = guard.spikes,
                .failed_snapshots = summary_.failed_snapshots,
                .bytes_peak = peak_bytes()};
    }

    /// Between the two halves of a step: the state is still that of before it. A disk that refuses
    /// costs the record, not the training.
    void record_spike(const StepResult& result) {
        SpikeRecord record = describe_spike(trainer_, result);
        std::string what = concat("step ", record.step, record.skipped ? " skipped: " : ": ",
                                  record.reason, " (samples ", record.first_sample, " to ",
                                  record.first_sample + result.sequences - 1, ")");
        try {
            if (count_spikes(out_) < recipe_.guard.max_records) {
                if (recipe_.guard.save_state) {
                    checkpoint::write_snapshot(spike_states(out_), trainer_.snapshot(),
                                               {.keep = recipe_.guard.max_records});
                }
                what += concat("; hadal train --replay ", write_spike(out_, record).string(),
                               " looks into it");
            }
        } catch (const Error& error) {
            what += concat("; not recorded: ", error.what());
        } catch (const fs::filesystem_error& error) {
            what += concat("; not recorded: ", error.what());
        }
        log_->note(what);
        options_.warn(what);
    }

    void warn_of_starvation(const std::vector<ExpertPlace>& places) {
        const std::string what = concat(
            "after step ", trainer_.progress().step, " ", places_text(places), " had less than a ",
            "sixteenth of the mean load for ", recipe_.balance.starved_steps,
            " steps in a row (see balance.bias_rate and balance.alpha)");
        log_->note(what);
        options_.warn(what);
    }

    /// No skipped step has changed a weight: what is saved here is the state after the last good
    /// one, only further on in the data.
    [[noreturn]] void stop_diverged(const StepResult& result) {
        save_last();
        throw Error(
            Error::Kind::diverged,
            concat("training diverged: ", recipe_.guard.max_skipped_run,
                   " steps in a row were skipped, the last one (", trainer_.progress().step,
                   ") for ", result.verdict.reason(result.loss), "; the snapshot of step ",
                   saved_step_, " in ", (out_ / "snapshots").string(),
                   " holds the weights of before them (look at spikes/ and the data; "
                   "--resume --allow-change learning_rate.peak continues with another rate)"));
    }

    bool is_due(int64_t every) const {
        return every > 0 && trainer_.progress().step % every == 0;
    }

    void save() {
        if (!recipe_.snapshot.background) {
            take(snapshots_.save_now(trainer_.snapshot()));
        } else {
            const auto begin = Clock::now();
            snapshots_.save(context_, trainer_.snapshot());
            const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
            if (seconds > 1) {
                log_->note(concat("waited ", seconds, " s for the snapshot before, and the copy"));
            }
        }
        log_->draw(recipe_.log.log_axis);
    }

    /// Learns how the writing of a snapshot ended. Training goes on without it.
    void take(const checkpoint::SnapshotOutcome& outcome) {
        if (outcome.error.empty()) {
            saved_step_ = outcome.step;
            failures_in_a_row_ = 0;
            log_->note(concat("snapshot after step ", outcome.step, ": ", outcome.bytes,
                              " bytes in ", outcome.seconds, " s"));
            return;
        }
        ++summary_.failed_snapshots;
        ++failures_in_a_row_;
        last_failure_ = outcome.error;
        const std::string what =
            concat("no snapshot after step ", outcome.step, ", training goes on: ", outcome.error);
        log_->note(what);
        options_.warn(what);
    }

    bool too_many_failures() const {
        return recipe_.snapshot.max_failures > 0 &&
               failures_in_a_row_ >= recipe_.snapshot.max_failures;
    }

    [[noreturn]] void throw_failed_snapshots() const {
        throw Error(Error::Kind::io, concat(failures_in_a_row_,
                                            " snapshots in a row could not be written, the last "
                                            "good one is of step ",
                                            saved_step_, ": ", last_failure_));
    }

    /// The run's end, or a stop, must be on the disk: here a failure is an error.
    void save_last() {
        snapshots_.wait();
        for (const auto& outcome : snapshots_.outcomes()) take(outcome);
        if (saved_step_ != trainer_.progress().step) {
            const auto outcome = snapshots_.save_now(trainer_.snapshot());
            if (!outcome.error.empty()) {
                throw Error(Error::Kind::io,
                            concat("the snapshot after step ", outcome.step,
                                   " could not be written, the last good one is of step ",
                                   saved_step_, ": ", outcome.error));
            }
            take(outcome);
        }
        log_->draw(recipe_.log.log_axis);
    }

    void finish() {
        summary_.finished = trainer_.finished();
        std::exception_ptr failure;  // must not take the trained model with it
        try {
            save_last();
        } catch (const Error&) {
            failure = std::current_exception();
        }
        if (summary_.finished) {
            export_model(trainer_.model(), recipe_.data.tokenizer, out_ / "model");
            summary_.model = (out_ / "model").string();
            if (recipe_.ema.decay > 0 && recipe_.ema.export_model) {
                model::Model average = trainer_.average_model();
                export_model(average, recipe_.data.tokenizer, out_ / "model-ema");
                summary_.ema_model = (out_ / "model-ema").string();
            }
        }
        if (failure) std::rethrow_exception(failure);
        log_->note(concat(summary_.finished ? "finished" : "stopped", " after step ",
                          trainer_.progress().step));
        bool first = true;
        for (const bool with_validation : {true, false}) {
            for (const Metrics& m : log_->history()) {
                if (with_validation && !m.validation_loss) continue;
                if (first) summary_.first = m;
                first = false;
                summary_.last = m;
            }
            if (!first) return;
        }
    }

    Context& context_;
    const Recipe& recipe_;
    const PretrainOptions& options_;
    fs::path out_;
    std::unique_ptr<RunLock> lock_;  // before anything that takes time or memory
    Trainer trainer_;
    checkpoint::SnapshotThread snapshots_;
    RunLog* log_ = nullptr;
    PretrainSummary summary_;
    double bytes_per_token_ = 0;
    int64_t saved_step_ = 0;  // of the newest snapshot on the disk
    int64_t failures_in_a_row_ = 0;
    std::string last_failure_;
};

}  // namespace

PretrainSummary pretrain(Context& context, const Recipe& recipe, const PretrainOptions& options) {
    check_allowed_changes(options.allow_change);
    return Run(context, recipe, options)();
}

}  // namespace hadal::train
