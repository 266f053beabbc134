#include "cli/train_record.h"

namespace hadal::cli {

Record step_record(const train::Metrics& m) {
    Record record;
    record.add("step", m.step).add("tokens", m.tokens).add("loss", m.loss);
    if (m.mtp_loss) record.add("mtp_loss", *m.mtp_loss);
    record.add("balance_loss", m.balance_loss)
        .add("grad_norm", m.grad_norm)
        .add("lr", m.learning_rate);
    record.add("batch", m.batch)
        .add("seq_len", m.seq_len)
        .add("tokens_per_second", m.tokens_per_second);
    record.add("step_seconds", m.step_seconds).add("data_seconds", m.data_seconds);
    record.add("max_violation", m.max_violation);
    record.add("expert_load_entropy", m.expert_load_entropy);
    record.add("dead_experts", m.dead_experts).add("starved_experts", m.starved_experts);
    record.add("skipped", m.skipped).add("spikes", m.spikes);
    if (m.failed_snapshots > 0) record.add("failed_snapshots", m.failed_snapshots);
    record.add("bytes_peak", m.bytes_peak);
    if (m.validation_loss) record.add("validation_loss", *m.validation_loss);
    if (m.ema_validation_loss) record.add("ema_validation_loss", *m.ema_validation_loss);
    if (m.bits_per_byte) record.add("bits_per_byte", *m.bits_per_byte);
    if (m.validation_max_violation)
        record.add("validation_max_violation", *m.validation_max_violation);
    return record;
}

}  // namespace hadal::cli
