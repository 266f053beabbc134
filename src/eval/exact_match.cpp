#include "eval/exact_match.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file_map.h"
#include "core/json.h"
#include "infer/text_prompt.h"

namespace hadal::eval {

namespace {

std::string trimmed(const std::string& text) {
    const char* spaces = " \t\r\n";
    const size_t begin = text.find_first_not_of(spaces);
    if (begin == std::string::npos) return "";
    return text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

std::string text_field(const nlohmann::json& object, const char* key, const std::string& where) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) {
        throw Error(Error::Kind::bad_input, concat(where, ": '", key, "' is missing or no text"));
    }
    return found->get<std::string>();
}

}  // namespace

double ExactMatchScore::value() const {
    return count == 0 ? 0 : double(correct) / double(count);
}

double ExactMatchScore::standard_error() const {
    return count == 0 ? 0 : std::sqrt(value() * (1 - value()) / double(count));
}

std::vector<ExactMatchItem> read_exact_match_items(const std::filesystem::path& path) {
    const std::string content = read_file(path);
    std::vector<ExactMatchItem> items;
    int64_t number = 0;
    for (size_t begin = 0; begin < content.size();) {
        const size_t end = std::min(content.find('\n', begin), content.size());
        const std::string line = content.substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (trimmed(line).empty()) continue;
        const std::string where = concat(path.string(), ":", number);
        const nlohmann::json object = parse_json(line, where);
        if (!object.is_object())
            throw Error(Error::Kind::bad_input, concat(where, ": not a JSON object"));
        items.push_back(
            {.task = object.contains("task") ? text_field(object, "task", where) : "all",
             .prompt = text_field(object, "prompt", where),
             .answer = trimmed(text_field(object, "answer", where))});
    }
    if (items.empty())
        throw Error(Error::Kind::bad_input, concat(path.string(), ": holds no items"));
    return items;
}

std::vector<ExactMatchScore> exact_match(Context& context, const model::Model& model,
                                         const text::Tokenizer& tokenizer,
                                         const std::vector<ExactMatchItem>& items,
                                         int64_t max_new_tokens,
                                         const std::function<void(size_t)>& on_item) {
    infer::Generator generator(context, model);
    infer::GenerateOptions options = infer::text_options(model.config, tokenizer);
    options.max_new_tokens = max_new_tokens;
    std::vector<ExactMatchScore> scores;
    for (size_t i = 0; i < items.size(); ++i) {
        const ExactMatchItem& item = items[i];
        std::string written;
        options.on_token = [&](int32_t id) {
            written += tokenizer.token_bytes(id);
            // Leading white space belongs to no answer; the first line break behind some text ends
            // it.
            return trimmed(written).empty() ||
                   written.find('\n', written.find_first_not_of(" \t\r\n")) == std::string::npos;
        };
        generator.generate(infer::prompt_ids(tokenizer, item.prompt), options);
        const std::string answer = trimmed(trimmed(written).substr(0, trimmed(written).find('\n')));
        auto score = std::find_if(scores.begin(), scores.end(),
                                  [&](const auto& s) { return s.task == item.task; });
        if (score == scores.end()) score = scores.insert(scores.end(), {.task = item.task});
        ++score->count;
        score->correct += answer == item.answer;
        if (on_item) on_item(i + 1);
    }
    return scores;
}

}  // namespace hadal::eval
