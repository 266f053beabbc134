#include "serve/tasks.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "infer/text_prompt.h"
#include "serve/api_error.h"
#include "serve/chat_answer.h"
#include "serve/completion_answer.h"
#include "serve/messages_answer.h"
#include "text/control_tokens.h"

namespace hadal::serve {

namespace {

/// Everything but prompt and seed.
infer::Request engine_request(const TextRequest& request, const ServedModel& model,
                              GrammarCache& grammars) {
    infer::Request result;
    result.sampling = request.sampling;
    for (const auto& [id, bias] : request.sampling.logit_bias) {
        if (id >= model.num_ids) {
            throw ApiError::field("logit_bias", concat("'logit_bias' names token ", id,
                                                       ", the vocabulary has ", model.num_ids));
        }
    }
    if (!request.ignore_eos) result.stop_ids = model.stop_ids;
    result.stop_ids.insert(result.stop_ids.end(), request.stop_ids.begin(), request.stop_ids.end());
    result.min_new_tokens = request.min_tokens;
    result.num_ids = model.num_ids;
    result.logprobs = request.logprobs;
    result.top_logprobs = request.top_logprobs;
    result.grammar = grammars.masks(request.format);
    result.priority = request.priority;
    // Tenants who name no salt share; a hash that collides would share between two salts, and that
    // is told by nothing but time.
    if (!request.cache_salt.empty())
        result.domain = std::hash<std::string>()(request.cache_salt) | 1;
    return result;
}

/// Tokenising takes time and memory: none of it for what cannot fit.
[[noreturn]] void refuse_bytes(size_t bytes, const ServedModel& model, const std::string& param) {
    throw ApiError(
        400,
        concat("This model's maximum context length is ", model.most_tokens, " tokens, but '",
               param, "' has ", bytes, " bytes, which are more. Shorten the prompt."),
        param, "context_length_exceeded");
}

void check_bytes(const Prompt& prompt, const ServedModel& model, const std::string& param) {
    const auto* text = std::get_if<std::string>(&prompt);
    if (text != nullptr && text->size() > model.most_prompt_bytes) {
        refuse_bytes(text->size(), model, param);
    }
}

/// A prompt's ids are in the vocabulary and leave room for a token. `param` names it.
void check_prompt(const std::vector<int32_t>& ids, const ServedModel& model,
                  const std::string& param, int64_t max_tokens) {
    if (ids.empty()) throw ApiError::field(param, concat("'", param, "' holds no token"));
    for (const int32_t id : ids) {
        if (id >= model.num_ids) {
            throw ApiError::field(param, concat("'", param, "' holds the token ", id,
                                                ", the vocabulary has ", model.num_ids));
        }
    }
    const auto length = int64_t(ids.size());
    if (length >= model.most_tokens) {
        throw ApiError(400,
                       concat("This model's maximum context length is ", model.most_tokens,
                              " tokens, but the request has ", length, " in '", param, "'",
                              max_tokens > 0 ? concat(" and asks for ", max_tokens, " more") : "",
                              ". Shorten the prompt."),
                       param, "context_length_exceeded");
    }
}

int64_t room(const std::vector<int32_t>& prompt, const TextRequest& request,
             const ServedModel& model) {
    const int64_t left = model.most_tokens - int64_t(prompt.size());
    return std::min(request.max_tokens.value_or(left), left);
}

std::vector<int32_t> ids_of_prompt(const Prompt& prompt, const CompletionRequest& request,
                                   const ServedModel& model) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
    const auto& text = std::get<std::string>(prompt);
    return request.add_bos ? infer::prompt_ids(model.tokenizer, text)
                           : model.tokenizer.encode(text);
}

/// Prefix, suffix, middle, as the pre-training had it (report §4.1):
///     <｜fim▁begin｜> prefix <｜fim▁hole｜> suffix <｜fim▁end｜>
std::vector<int32_t> fill_in_prompt(const Prompt& prompt, const CompletionRequest& request,
                                    const ServedModel& model) {
    const text::Tokenizer& tokenizer = model.tokenizer;
    const auto begin = tokenizer.id_of(text::kFimBegin), hole = tokenizer.id_of(text::kFimHole),
               end = tokenizer.id_of(text::kFimEnd);
    if (!begin || !hole || !end) {
        throw ApiError::field("suffix", "this model's tokenizer has no tokens to fill in a middle");
    }
    std::vector<int32_t> ids;
    if (request.add_bos) ids = infer::prompt_ids(tokenizer, "");
    const auto append = [&](const std::vector<int32_t>& more) {
        ids.insert(ids.end(), more.begin(), more.end());
    };
    ids.push_back(*begin);
    const auto* text = std::get_if<std::string>(&prompt);
    append(text != nullptr ? tokenizer.encode(*text) : std::get<std::vector<int32_t>>(prompt));
    ids.push_back(*hole);
    append(tokenizer.encode(*request.suffix));
    ids.push_back(*end);
    return ids;
}

std::string echo_of(const Prompt& prompt, const ServedModel& model) {
    if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
    text::Detokenizer detokenizer(model.tokenizer);
    std::string text;
    for (const int32_t id : std::get<std::vector<int32_t>>(prompt)) text += detokenizer.push(id);
    return text + detokenizer.finish();
}

bool must_call(const ChatRequest& request) {
    return request.tool_choice.kind == ToolChoice::Kind::required ||
           request.tool_choice.kind == ToolChoice::Kind::named;
}

std::vector<chat::Function> functions_of(const ChatRequest& request) {
    std::vector<chat::Function> functions;
    for (const auto& tool : *request.tools) {
        const auto& function = tool.at("function");
        const auto& name = function.at("name").get_ref<const std::string&>();
        if (!request.tool_choice.name.empty() && name != request.tool_choice.name) continue;
        const auto schema = function.find("parameters");
        const bool has_schema = schema != function.end() && !schema->is_null();
        functions.push_back({name, has_schema ? schema->dump() : ""});
    }
    return functions;
}

bool is_strict(const nlohmann::ordered_json& tool) {
    return tool.at("function").value("strict", false);
}

/// A model that may call, and calls a strict function, writes what its schema says: the grammar
/// begins where the calls do. Functions that are not strict take any object.
void keep_strict(const ChatRequest& request, const ServedModel& model, GrammarCache& grammars,
                 infer::Request& text) {
    const bool may_call = request.tools != nullptr &&
                          request.tool_choice.kind == ToolChoice::Kind::automatic &&
                          std::ranges::any_of(*request.tools, is_strict);
    if (!may_call || text.grammar != nullptr) return;
    const auto begin = chat::calls_token(model.tokenizer, model.format);
    if (!begin) {
        throw ApiError::field("tools",
                              "'strict' cannot be kept: this model's tokenizer has no token that "
                              "begins a call (use 'tool_choice': 'required')");
    }
    std::vector<chat::Function> functions = functions_of(request);
    for (size_t i = 0; i < functions.size(); ++i) {
        if (!is_strict((*request.tools)[i])) functions[i].schema.clear();
    }
    text.grammar = grammars.begun_calls(functions, request.parallel_tool_calls);
    text.grammar_after = begin;
}

std::shared_ptr<grammar::TokenMasks> call_masks(const ChatRequest& request,
                                                GrammarCache& grammars) {
    if (request.format.kind != TextFormat::Kind::any) {
        throw ApiError::field(request.format.param,
                              concat("'", request.format.param,
                                     "' and a 'tool_choice' that must call exclude each other"));
    }
    return grammars.calls(functions_of(request),
                          request.parallel_tool_calls && request.tool_choice.name.empty());
}

/// Whether the model finds itself thinking behind the prompt.
bool ends_in_thought(const std::vector<int32_t>& prompt, const ServedModel& model) {
    constexpr size_t kEnd = 8;  // tokens: enough for the mark and a line break
    text::Detokenizer detokenizer(model.tokenizer, /*skip_special=*/false);
    std::string end;
    for (size_t i = prompt.size() - std::min(kEnd, prompt.size()); i < prompt.size(); ++i) {
        end += detokenizer.push(prompt[i]);
    }
    end.erase(end.find_last_not_of(" \n") + 1);
    return end.ends_with(model.format.think_begin);
}

/// None for a model whose tokenizer has no mark for thoughts' end, and where nothing could follow
/// it.
std::optional<ThoughtLimit> thought_limit(const ChatRequest& request, const ServedModel& model,
                                          bool thinks, int64_t max_tokens) {
    const auto end = model.tokenizer.id_of(model.format.think_end);
    constexpr int64_t kMarks = 2;
    if (!request.most_thought_tokens || !end) return {};
    if (*request.most_thought_tokens + kMarks >= max_tokens) return {};
    return ThoughtLimit({.tokens = *request.most_thought_tokens,
                         .end = *end,
                         .begin = model.tokenizer.id_of(model.format.think_begin),
                         .thinks = thinks});
}

chat::OutputOptions output_options(const ChatRequest& request, bool thinks, std::string call_id) {
    const bool reads_calls =
        request.tools != nullptr && request.tool_choice.kind != ToolChoice::Kind::none;
    return {.thinks = thinks,
            .reads_calls = reads_calls,
            .most_calls = request.parallel_tool_calls ? -1 : 1,
            .call_id = std::move(call_id)};
}

}  // namespace

std::vector<int32_t> chat_prompt(const ChatRequest& request, const ServedModel& model) {
    const nlohmann::ordered_json tools =
        request.tools != nullptr && request.tool_choice.kind != ToolChoice::Kind::none
            ? nlohmann::ordered_json(*request.tools)
            : nlohmann::ordered_json();
    try {
        return model.prompter.ids(*request.messages, tools,
                                  {.continue_last = request.continue_last,
                                   .thinking = request.thinking,
                                   .most_bytes = model.most_prompt_bytes});
    } catch (const chat::PromptTooLong& error) {
        refuse_bytes(error.bytes(), model, "messages");
    } catch (const Error& error) {
        if (error.exit_status() != 2) throw;
        throw ApiError::field("messages", error.what());
    }
}

GenerationTask completion_task(const CompletionRequest& request, const ServedModel& model,
                               GrammarCache& grammars, AnswerHead head, uint64_t seed) {
    infer::Request shared = engine_request(request, model, grammars);
    shared.prompt_logprobs = request.echo && request.logprobs;
    if (request.best_of > request.n) shared.logprobs = true;  // to choose by
    // Clients that score a prompt ask for one token behind it and cut that off: it must exist.
    if (shared.prompt_logprobs && request.max_tokens == 1) shared.stop_ids.clear();
    GenerationTask task{.stops = request.stops, .stream = request.stream};
    std::vector<std::vector<int32_t>> prompts;
    std::vector<std::string> echoes;
    if (request.suffix) check_bytes(*request.suffix, model, "suffix");
    for (size_t i = 0; i < request.prompts.size(); ++i) {
        const Prompt& prompt = request.prompts[i];
        const std::string param =
            request.prompts.size() == 1 ? "prompt" : concat("prompt[", i, "]");
        check_bytes(prompt, model, param);
        prompts.push_back(request.suffix ? fill_in_prompt(prompt, request, model)
                                         : ids_of_prompt(prompt, request, model));
        check_prompt(prompts.back(), model, param, request.max_tokens.value_or(0));
        if (request.echo) echoes.push_back(echo_of(prompt, model));
        for (int64_t j = 0; j < request.best_of; ++j) {
            infer::Request text = shared;
            text.prompt = prompts.back();
            text.max_new_tokens = room(text.prompt, request, model);
            text.sampling.seed = (request.has_seed ? request.sampling.seed : seed) + uint64_t(j);
            task.texts.push_back(std::move(text));
        }
    }
    task.answer =
        completion_answer(std::move(head), request, model.tokenizer, std::move(prompts), echoes);
    return task;
}

GenerationTask chat_task(const ChatRequest& request, const ServedModel& model,
                         GrammarCache& grammars, AnswerHead head, uint64_t seed) {
    infer::Request shared = engine_request(request, model, grammars);
    GenerationTask task{.stops = request.stops, .stream = request.stream};
    const std::vector<int32_t> prompt = chat_prompt(request, model);
    check_prompt(prompt, model, "messages", request.max_tokens.value_or(0));
    const bool thinks = ends_in_thought(prompt, model);
    if (must_call(request)) shared.grammar = call_masks(request, grammars);
    // What is asked of the text is asked of the answer, not of the thoughts before it.
    if (thinks && shared.grammar != nullptr) {
        shared.grammar_after = model.tokenizer.id_of(model.format.think_end);
    }
    keep_strict(request, model, grammars, shared);
    task.thoughts = thought_limit(request, model, thinks, room(prompt, request, model));
    for (int64_t j = 0; j < request.n; ++j) {
        infer::Request text = shared;
        text.prompt = prompt;
        text.max_new_tokens = room(prompt, request, model);
        text.sampling.seed = (request.has_seed ? request.sampling.seed : seed) + uint64_t(j);
        task.texts.push_back(std::move(text));
    }
    std::vector<Reply> replies;
    for (int64_t j = 0; j < request.n; ++j) {
        replies.emplace_back(
            model.tokenizer, model.format,
            output_options(request, thinks, concat("call_", head.id, "_", j, "_")));
    }
    if (head.form == AnswerHead::Form::anthropic) {
        task.answer =
            messages_answer(std::move(head), std::move(replies.front()), int64_t(prompt.size()));
    } else {
        task.answer = chat_answer(std::move(head), request, model.tokenizer, std::move(replies));
    }
    return task;
}

}  // namespace hadal::serve
