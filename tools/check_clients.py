#!/usr/bin/env python3
"""Real clients against `hadal serve`. Run by tools/check_clients.sh, which makes their virtual environment.

The model is a small random one: what is checked is the wire, not what it says. Log-probabilities that lm-eval sums are
compared with `hadal score` on the same ids.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", LITELLM_LOCAL_MODEL_COST_MAP="True",
                  TOKENIZERS_PARALLELISM="false", OPENAI_API_KEY="unused")  # fmt: skip

import anthropic  # noqa: E402
import litellm  # noqa: E402
import openai  # noqa: E402
from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

TEXT = "The quick brown fox jumps over the lazy dog. Once upon a time a fox lived in a wood. "
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me of the fox."}]
SCHEMA = {
    "type": "object",
    "properties": {"animal": {"enum": ["fox", "dog"]}, "legs": {"type": "integer", "minimum": 2, "maximum": 6}},
    "required": ["animal", "legs"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "describe", "description": "An animal", "parameters": SCHEMA}}]


def make_model(hadal, folder):
    text, tokenizer, model = folder / "text.txt", folder / "tokenizer", folder / "small"
    text.write_text(TEXT * 300)

    def run(*words):
        subprocess.run([hadal, *map(str, words)], check=True, capture_output=True)

    run("tokenizer", "train", text, "--vocab-size", 400, "--out", tokenizer)
    run("init", "--preset", "tiny", "--dtype", "f32", "--out", model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).write_bytes((tokenizer / name).read_bytes())
    return model


@contextlib.contextmanager
def serving(hadal, model):
    words = [hadal, "serve", model, "--port", "0", "--json", "--dtype", "f32", "--cache-gib", "0.1",
             "--access-log", "off"]  # fmt: skip
    server = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        assert server.wait(60) == 0, "the server did not end well"


def joined(chunks, field="content"):
    parts = (choice.delta for chunk in chunks for choice in chunk.choices)
    return "".join(getattr(delta, field, None) or "" for delta in parts)


def check_openai_chat(client):
    ask = dict(model="small", messages=MESSAGES, max_tokens=20, seed=7)
    whole = client.chat.completions.create(**ask)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    scored = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(scored) == whole.usage.completion_tokens and all(len(token.top_logprobs) == 3 for token in scored)
    several = client.chat.completions.create(**ask, n=3)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert client.models.list().data[0].id == "small" and client.models.retrieve("small").id == "small"


def check_openai_formats(client):
    ask = dict(model="small", messages=MESSAGES, max_tokens=300, seed=7)
    schema = {"type": "json_schema", "json_schema": {"name": "animal", "schema": SCHEMA, "strict": True}}
    answer = json.loads(client.chat.completions.create(**ask, response_format=schema).choices[0].message.content)
    assert answer["animal"] in ("fox", "dog") and 2 <= answer["legs"] <= 6
    message = client.chat.completions.create(**ask, tools=TOOLS, tool_choice="required").choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    assert all(name == "describe" and set(json.loads(arguments)) == {"animal", "legs"} for name, arguments in calls)
    with client.chat.completions.stream(**ask, tools=TOOLS, tool_choice="required") as stream:
        final = stream.get_final_completion().choices[0]
    assert [(call.function.name, call.function.arguments) for call in final.message.tool_calls] == calls
    assert final.finish_reason == "tool_calls"


def check_openai_completions(client):
    ask = dict(model="small", prompt="The quick", max_tokens=8, temperature=0)
    whole = client.completions.create(**ask, logprobs=2, echo=True)
    scores = whole.choices[0].logprobs
    assert whole.choices[0].text.startswith("The quick") and scores.token_logprobs[0] is None
    streamed = client.completions.create(**ask, stream=True)
    assert "The quick" + "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text
    both = client.completions.create(**{**ask, "prompt": ["The quick", "Once"]}, n=2)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    filled = client.completions.create(**ask, suffix=" over the dog")
    assert filled.usage.completion_tokens > 0


def expect(error, call):
    try:
        call()
    except error as caught:
        return caught
    raise AssertionError(f"no {error.__name__}")


def check_openai_errors(client):
    ask = dict(model="small", messages=MESSAGES)
    error = expect(openai.BadRequestError, lambda: client.chat.completions.create(**ask, temperature=5))
    assert error.param == "temperature" and error.type == "invalid_request_error"
    expect(openai.NotFoundError, lambda: client.chat.completions.create(**{**ask, "model": "other"}))
    expect(openai.NotFoundError, lambda: client.embeddings.create(model="small", input="a"))
    long = [{"role": "user", "content": "fox " * 20000}]
    error = expect(openai.BadRequestError, lambda: client.chat.completions.create(model="small", messages=long))
    assert error.code == "context_length_exceeded" and error.param == "messages"


def check_anthropic(url):
    client = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0)
    ask = dict(model="claude-of-some-kind", messages=MESSAGES[1:], system="Be brief.", max_tokens=20,
               extra_body={"temperature": 0})  # fmt: skip
    whole = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
    counted = client.messages.count_tokens(**{key: ask[key] for key in ("model", "messages", "system")})
    usage = whole.usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    tool = {"name": "describe", "description": "An animal", "input_schema": SCHEMA}
    calling = dict(ask, max_tokens=300, tools=[tool], tool_choice={"type": "tool", "name": "describe"})
    called = client.messages.create(**calling)
    assert called.stop_reason == "tool_use" and called.content[0].input["animal"] in ("fox", "dog")
    with client.messages.stream(**calling) as stream:
        assert stream.get_final_message().content[0].input == called.content[0].input
    expect(anthropic.BadRequestError, lambda: client.messages.create(**dict(ask, messages=[])))


def check_litellm(url):
    ask = dict(model="openai/small", messages=MESSAGES, api_base=f"{url}/v1", api_key="unused", max_tokens=12, seed=3)
    whole = litellm.completion(**ask)
    assert joined(litellm.completion(**ask, stream=True)) == whole.choices[0].message.content
    long = [{"role": "user", "content": "fox " * 20000}]
    expect(litellm.ContextWindowExceededError, lambda: litellm.completion(**{**ask, "messages": long}))


def check_lm_eval_scores(hadal, model, client, url):
    """Sums of log-probabilities, and whether the continuation is the greedy one, against `hadal score`."""
    lm = get_model("local-completions").create_from_arg_string(
        f"model=small,base_url={url}/v1/completions,tokenizer_backend=remote,batch_size=3,max_retries=1"
    )
    pairs = [("The quick brown", " fox"), ("The quick brown", " dog jumps"), ("Once upon", " a time a fox"),
             ("a", "b")]  # fmt: skip
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    answers = lm.loglikelihood(requests, disable_tqdm=True)
    tokens = [lm._encode_pair(*pair) for pair in pairs]
    scored = subprocess.run(
        [hadal, "score", model, "--tokens", "-", "--json", "--dtype", "f32"], check=True, capture_output=True,
        input=json.dumps([context + continuation for context, continuation in tokens]), text=True,
    )  # fmt: skip
    for (total, _), (context, continuation), sequence in zip(answers, tokens, json.loads(scored.stdout)["sequences"]):
        expected = sum(sequence["logprobs"][len(context) - 1 :])
        assert abs(total - expected) < 1e-3 * len(continuation), (total, expected)
    check_greedy(lm, client)


def check_greedy(lm, client):
    """A greedy continuation is told from others; of those whose text gives their one token back."""
    pairs = []
    for word in TEXT.split():
        prompt = lm.tok_encode(word)
        text = client.completions.create(model="small", prompt=prompt, max_tokens=1, temperature=0).choices[0].text
        if text.isascii() and text.strip() and lm._encode_pair(word, text) == (prompt, lm.tok_encode(text)):
            pairs += [(word, text), (word, " zzz")]
    assert len(pairs) >= 4
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    answers = [is_greedy for _, is_greedy in lm.loglikelihood(requests, disable_tqdm=True)]
    assert answers == [True, False] * (len(pairs) // 2), (pairs, answers)


def check_lm_eval_tasks(folder, url):
    rows = [{"question": f"The quick brown fox {i}", "answer": i % 2} for i in range(6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = folder / "tasks"
    tasks.mkdir()
    common = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {folder}/rows.jsonl\ntest_split: test\n"
    (tasks / "choice.yaml").write_text(
        "task: fox_choice\noutput_type: multiple_choice\n" + common
        + 'doc_to_text: "{{question}}"\ndoc_to_choice: [" fox", " dog"]\ndoc_to_target: answer\n'
        + "metric_list:\n  - metric: acc\n")  # fmt: skip
    (tasks / "text.yaml").write_text(
        "task: fox_text\noutput_type: generate_until\n" + common
        + 'doc_to_text: "{{question}}"\ndoc_to_target: "{{answer}}"\n'
        + 'generation_kwargs:\n  until: ["."]\n  max_gen_toks: 8\nmetric_list:\n  - metric: exact_match\n')  # fmt: skip
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    for kind, path, task, chat in (("local-completions", "completions", "fox_choice", False),
                                   ("local-completions", "completions", "fox_text", False),
                                   ("local-chat-completions", "chat/completions", "fox_text", True)):  # fmt: skip
        arguments = f"model=small,base_url={url}/v1/{path},num_concurrent=2,max_retries=1,"
        arguments += "tokenizer_backend=None,tokenized_requests=False" if chat else "tokenizer_backend=remote"
        result = simple_evaluate(model=kind, model_args=arguments, tasks=[task], task_manager=manager,
                                 apply_chat_template=chat, bootstrap_iters=0)  # fmt: skip
        assert result["n-samples"][task]["effective"] == len(rows)


def check_curl(url):
    body = json.dumps({"messages": MESSAGES, "max_tokens": 5, "stream": True})
    lines = subprocess.run(["curl", "-sN", f"{url}/v1/chat/completions", "-d", body], check=True,
                           capture_output=True, text=True).stdout.split("\n\n")  # fmt: skip
    assert lines[-2:] == ["data: [DONE]", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hadal", required=True)
    hadal = parser.parse_args().hadal
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model = make_model(hadal, folder)
        with serving(hadal, model) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
            checks = {
                "openai: chat, stream, log-probabilities": lambda: check_openai_chat(client),
                "openai: JSON schema, tools": lambda: check_openai_formats(client),
                "openai: completions": lambda: check_openai_completions(client),
                "openai: errors": lambda: check_openai_errors(client),
                "Anthropic: messages, streams, tools": lambda: check_anthropic(url),
                "LiteLLM": lambda: check_litellm(url),
                "lm-eval: log-probabilities against hadal score": lambda: check_lm_eval_scores(hadal, model, client, url),
                "lm-eval: tasks": lambda: check_lm_eval_tasks(folder, url),
                "curl": lambda: check_curl(url),
            }
            for check, run in checks.items():
                run()
                print(f"ok  {check}", flush=True)


if __name__ == "__main__":
    main()
