#include "train/export_model.h"

#include <nlohmann/json.hpp>

#include "core/file_map.h"
#include "model/save_model.h"

namespace hadal::train {

namespace {

std::string generation_config_text(const model::ModelConfig& config) {
    nlohmann::ordered_json json;
    json["_from_model_config"] = true;
    if (config.bos_token_id) json["bos_token_id"] = *config.bos_token_id;
    if (config.eos_token_ids.size() == 1) json["eos_token_id"] = config.eos_token_ids[0];
    if (config.eos_token_ids.size() > 1) json["eos_token_id"] = config.eos_token_ids;
    return json.dump(2) + "\n";
}

}  // namespace

void export_model(model::Model& model, const std::filesystem::path& tokenizer,
                  const std::filesystem::path& directory) {
    model::SaveOptions options{.force = true};
    options.files["generation_config.json"] = generation_config_text(model.config);
    const auto folder =
        std::filesystem::is_directory(tokenizer) ? tokenizer : tokenizer.parent_path();
    for (const char* file :
         {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
        const auto path = folder / file;
        if (!tokenizer.empty() && std::filesystem::exists(path)) {
            options.files[file] = read_file(path);
        }
    }
    model::save_model(directory, model.config, model.weights, options);
}

}  // namespace hadal::train
