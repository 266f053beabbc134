#include "train/spike_record.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::train {

namespace {

namespace fs = std::filesystem;

fs::path ids_path(fs::path json) {
    return json.replace_extension(".safetensors");
}

/// JSON has no word for what is not finite.
double number_of(const nlohmann::json& value) {
    return value.is_null() ? std::nan("") : value.get<double>();
}

}  // namespace

SpikeRecord describe_spike(const Trainer& trainer, const StepResult& result) {
    const auto& verdict = result.verdict;
    return {.step = trainer.progress().step + 1,
            .reason = verdict.reason(result.loss),
            .skipped = verdict.skip,
            .loss = result.loss,
            .grad_norm = verdict.norm,
            .loss_median = verdict.loss_jump.median,
            .loss_deviation = verdict.loss_jump.deviation,
            .norm_median = verdict.norm_jump.median,
            .norm_deviation = verdict.norm_jump.deviation,
            .learning_rate = result.learning_rate,
            .tokens = trainer.progress().tokens,
            .first_sample = trainer.progress().samples,
            .data_fingerprint = trainer.data_fingerprint(),
            .recipe = recipe_text(trainer.recipe()),
            .ids = trainer.next_samples()};
}

fs::path write_spike(const fs::path& run, const SpikeRecord& record) {
    fs::create_directories(run / "spikes");
    const fs::path path = run / "spikes" / concat("step-", record.step, ".json");
    const checkpoint::TensorSpec ids{
        .name = "ids", .dtype = record.ids.dtype(), .shape = record.ids.shape()};
    checkpoint::SafetensorsWriter writer(ids_path(path), {&ids, 1});
    writer.add("ids", record.ids);
    writer.finish();
    const nlohmann::ordered_json json = {
        {"step", record.step},
        {"reason", record.reason},
        {"skipped", record.skipped},
        {"loss", record.loss},
        {"grad_norm", record.grad_norm},
        {"loss_median", record.loss_median},
        {"loss_deviation", record.loss_deviation},
        {"norm_median", record.norm_median},
        {"norm_deviation", record.norm_deviation},
        {"lr", record.learning_rate},
        {"tokens_before", record.tokens},
        {"first_sample", record.first_sample},
        {"sequences", record.ids.shape()[0]},
        {"data_fingerprint", record.data_fingerprint},
        {"recipe", record.recipe},
        {"ids", ids_path(path).filename().string()},
    };
    write_file_atomically(path, json.dump(2) + "\n");
    return path;
}

int64_t count_spikes(const fs::path& run) {
    int64_t count = 0;
    if (!fs::exists(run / "spikes")) return 0;
    for (const auto& entry : fs::directory_iterator(run / "spikes")) {
        count += entry.path().extension() == ".json" ? 1 : 0;
    }
    return count;
}

fs::path spike_states(const fs::path& run) {
    return run / "spikes" / "states";
}

SpikeRecord read_spike(const fs::path& path) {
    const std::string where = path.string();
    const auto json = parse_json(read_file(path), where);
    try {
        SpikeRecord record{.step = json.at("step").get<int64_t>(),
                           .reason = json.at("reason").get<std::string>(),
                           .skipped = json.at("skipped").get<bool>(),
                           .loss = number_of(json.at("loss")),
                           .grad_norm = number_of(json.at("grad_norm")),
                           .loss_median = number_of(json.at("loss_median")),
                           .loss_deviation = number_of(json.at("loss_deviation")),
                           .norm_median = number_of(json.at("norm_median")),
                           .norm_deviation = number_of(json.at("norm_deviation")),
                           .learning_rate = number_of(json.at("lr")),
                           .tokens = json.at("tokens_before").get<int64_t>(),
                           .first_sample = json.at("first_sample").get<int64_t>(),
                           .data_fingerprint = json.at("data_fingerprint").get<uint64_t>(),
                           .recipe = json.at("recipe").get<std::string>(),
                           .ids = Tensor()};
        record.ids = checkpoint::Safetensors::open(ids_path(path)).load("ids").clone();
        if (record.step < 1 || record.ids.dtype() != DType::i32 || record.ids.shape().rank() != 2) {
            throw Error(Error::Kind::corrupt_file,
                        concat("not the record of a step: ", where,
                               " (wants a RUN/spikes/step-N.json and the .safetensors beside it)"));
        }
        return record;
    } catch (const nlohmann::json::exception& error) {
        throw Error(Error::Kind::corrupt_file,
                    concat("not the record of a step: ", where, ": ", error.what(),
                           " (wants a RUN/spikes/step-N.json that hadal train wrote)"));
    }
}

}  // namespace hadal::train
