// The inference engine inside another program: two prompts, generated side by side.
//     build/release/examples/embed_engine MODEL "Once upon a time" "int main("
#include <cstdio>
#include <vector>

#include "infer/engine.h"
#include "infer/text_prompt.h"
#include "infer/text_stream.h"
#include "text/tokenizer.h"

using namespace hadal;

int main(int count, char** words) try {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s MODEL PROMPT…\n", words[0]);
        return 2;
    }
    ThreadPool threads;
    Workspace workspace;
    Context context{threads, workspace};
    const model::Model model = model::load_model(words[1], DType::bf16);
    const auto tokenizer = text::Tokenizer::load(words[1]);
    const infer::GenerateOptions defaults = infer::text_options(model.config, tokenizer);

    // 256 MB of latents hold some thousand tokens of V3, or some hundred thousand of a small model.
    infer::Engine engine(context, model, {.cache_bytes = int64_t(256) << 20});
    std::vector<infer::TextStream> texts;
    for (int i = 2; i < count; ++i) texts.emplace_back(tokenizer, std::vector<std::string>{"\n\n"});
    for (size_t i = 0; i < texts.size(); ++i) {
        infer::Request request;
        request.prompt = infer::prompt_ids(tokenizer, words[i + 2]);
        request.max_new_tokens = 64;
        request.stop_ids = defaults.stop_ids;
        request.num_ids = defaults.num_ids;
        request.on_token = [&texts, i](const infer::GeneratedToken& token) {
            texts[i].push(token.id);
            return !texts[i].stopped();  // false ends this text, the others go on
        };
        request.on_finish = [&texts, i, prompt = words[i + 2]](const infer::RequestResult& result) {
            texts[i].finish();
            std::printf("%s%s\n  [%zu tokens, %s]\n", prompt, texts[i].text().c_str(),
                        result.tokens.size(),
                        std::string(infer::name(result.finish_reason)).c_str());
        };
        engine.submit(std::move(request));
    }
    while (engine.step()) {
    }
    return 0;
} catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_status();
}
