// A model's chat template: messages in, the prompt out. The template is Jinja, as checkpoints carry
// it in tokenizer_config.json or chat_template.jinja.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace hadal::chat {

/// A piece of a prompt. In what the template itself wrote, control tokens are tokens; in what came
/// from messages they are text like any other.
struct Piece {
    std::string text;
    bool control = false;

    bool operator==(const Piece&) const = default;
};

class Template {
  public:
    /// Error(bad_input) with the line for what is no template, or needs a part of Jinja that is not
    /// here. `name` is for messages.
    explicit Template(std::string_view source, std::string_view name = "chat template");
    ~Template();
    Template(Template&&) noexcept;
    Template& operator=(Template&&) noexcept;

    /// chat_template.jinja of a model's directory, else the template in tokenizer_config.json: if
    /// it has several, the one called `choice`, or "default". Nothing if the model has none.
    static std::optional<Template> load(const std::filesystem::path& directory,
                                        std::string_view choice = "default");
    /// From the text of a tokenizer_config.json.
    static std::optional<Template> from_config(std::string_view tokenizer_config,
                                               std::string_view choice = "default");

    /// `data`: an object; its members (messages, tools …) are variables that hold data.
    /// `settings`: another, whose strings count as the template's own (bos_token, eos_token,
    /// add_generation_prompt, …). Pieces of one kind are joined. Safe from several threads. Error
    /// (bad_input) names the line, or is what the template itself says of the messages.
    std::vector<Piece> render(const nlohmann::ordered_json& data,
                              const nlohmann::ordered_json& settings) const;

    const std::string& source() const;

  private:
    struct Parsed;
    std::unique_ptr<const Parsed> parsed_;
};

/// Ids of a prompt. Between control tokens, text is encoded in one piece wherever it comes from, as
/// it would be from the prompt's plain text. Adds no BOS: templates write it.
std::vector<int32_t> encode(const text::Tokenizer& tokenizer, const std::vector<Piece>& pieces);
/// The prompt as text, for people to read.
std::string text_of(const std::vector<Piece>& pieces);

}  // namespace hadal::chat
