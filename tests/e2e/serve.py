"""Asks a served small model over HTTP. See serve.sh."""

import contextlib
import http.client
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

MESSAGES = [{"role": "user", "content": "Tell me of the fox."}]


def make_model(hadal, folder):
    def run(*words):
        subprocess.run([hadal, *map(str, words)], check=True, capture_output=True)

    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    run("tokenizer", "train", folder / "text.txt", "--vocab-size", 320, "--out", folder / "tokenizer")
    run("init", "--preset", "tiny", "--out", folder / "small")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "tokenizer" / name, folder / "small")
    return folder / "small"


@contextlib.contextmanager
def serving(hadal, model, *options):
    words = [hadal, "serve", model, "--port", 0, "--json", "--cache-gib", 0.05, "--access-log", "off", *options]
    server = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
    try:
        yield server, json.loads(server.stdout.readline())["url"].removeprefix("http://")
    finally:
        if server.poll() is None:
            server.terminate()
        assert server.wait(60) == 0, "the server did not end well"


def ask(address, path, body=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def good(address, path, body=None):
    status, text = ask(address, path, body)
    assert status == 200, (path, text)
    return json.loads(text)


def events(text):
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    assert parts[-1] == "data: [DONE]", text
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


def check_texts(address):
    assert good(address, "/v1/models")["data"][0]["id"] == "small"
    body = {"model": "small", "messages": MESSAGES, "max_tokens": 15, "seed": 3}
    whole = good(address, "/v1/chat/completions", body)["choices"][0]["message"]["content"]
    status, text = ask(address, "/v1/chat/completions", {**body, "stream": True})
    deltas = [choice["delta"] for event in events(text) for choice in event["choices"]]
    assert status == 200 and "".join(delta.get("content") or "" for delta in deltas) == whole
    scored = good(address, "/v1/completions", {"prompt": [5, 6, 7], "max_tokens": 1, "echo": True, "logprobs": 1})
    assert len(scored["choices"][0]["logprobs"]["token_logprobs"]) == 4
    schema = {"type": "object", "properties": {"legs": {"enum": [2, 4]}}, "required": ["legs"]}
    shaped = {**body, "max_tokens": 200, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    assert json.loads(good(address, "/v1/chat/completions", shaped)["choices"][0]["message"]["content"])["legs"] in (2, 4)


def check_tools(address):
    """A call that must be made, and its result back: what `tokenizer train` writes takes both."""
    schema = {"type": "object", "properties": {"legs": {"enum": [4]}}, "required": ["legs"], "additionalProperties": False}
    function = {"name": "count", "parameters": schema}
    body = {"messages": MESSAGES, "max_tokens": 300, "seed": 1, "tools": [{"type": "function", "function": function}]}
    choice = good(address, "/v1/chat/completions", {**body, "tool_choice": "required", "parallel_tool_calls": False})["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"legs": 4}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "four legs"}
    whole = {**body, "messages": [*MESSAGES, choice["message"], result], "max_tokens": 2}
    prompt = good(address, "/detokenize", {"tokens": good(address, "/tokenize", whole)["tokens"]})["prompt"]
    assert "count" in prompt and "four legs" in prompt, prompt
    good(address, "/v1/chat/completions", whole)


def check_many(address):
    """Answers are not crossed: each of many at one time is what it is alone."""
    bodies = [{"prompt": "fox " * (i % 5 + 1), "max_tokens": 5 + i % 7, "seed": i} for i in range(24)]
    alone = [good(address, "/v1/completions", body)["choices"] for body in bodies]
    together = [None] * len(bodies)

    def work(i):
        together[i] = good(address, "/v1/completions", bodies[i])["choices"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def check_errors(address):
    for path, body, status, param in (
        ("/v1/chat/completions", {"messages": []}, 400, "messages"),
        ("/v1/chat/completions", {"messages": MESSAGES, "temperature": 9}, 400, "temperature"),
        ("/v1/completions", {"prompt": "a", "model": "other"}, 404, "model"),
        ("/v1/embeddings", {"input": "a"}, 404, None),
    ):
        answer = ask(address, path, body)
        assert answer[0] == status and json.loads(answer[1])["error"]["param"] == param, answer


def running(address):
    return good(address, "/v1/hadal/live")["engine"]["running"]


def check_disconnect(address):
    """A client that goes away in the middle of a stream leaves nothing behind."""
    host, port = address.split(":")
    body = json.dumps({"prompt": "fox", "max_tokens": 4000, "stream": True, "ignore_eos": True}).encode()
    for _ in range(3):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert b"200" in client.recv(4096)
    for _ in range(600):
        if running(address) == 0:
            return
        threading.Event().wait(0.1)
    raise AssertionError("texts that nobody reads still run")


def check_drain(hadal, model):
    """After SIGTERM a running answer is ended, and the server with status 0."""
    with serving(hadal, model) as (server, address):
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "fox", "max_tokens": 300, "stream": True, "ignore_eos": True}))  # fmt: skip
        answer = connection.getresponse()
        first = answer.readline()
        server.send_signal(signal.SIGTERM)
        assert first and answer.read().decode().endswith("data: [DONE]\n\n")


def check_keys(hadal, model, folder):
    """SIGHUP puts the keys of the file in force, unless it holds none."""
    keys = folder / "keys"
    keys.write_text("sk-old\n")

    def status(key):
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer " + key})
        return connection.getresponse().status

    def wait_for(key):
        for _ in range(300):
            if status(key) == 200:
                return
            threading.Event().wait(0.1)
        raise AssertionError("the new keys were not read")

    with serving(hadal, model, "--api-key-file", keys) as (server, address):
        assert status("sk-old") == 200
        keys.write_text("sk-new\n")
        server.send_signal(signal.SIGHUP)
        wait_for("sk-new")
        assert status("sk-old") == 401
        keys.write_text("# none\n")
        server.send_signal(signal.SIGHUP)
        threading.Event().wait(0.5)
        assert status("sk-new") == 200 and status("") == 401


def main():
    hadal = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        model = make_model(hadal, pathlib.Path(name))
        with serving(hadal, model) as (_, address):
            check_texts(address)
            check_tools(address)
            check_many(address)
            check_errors(address)
            check_disconnect(address)
        check_drain(hadal, model)
        check_keys(hadal, model, pathlib.Path(name))
    print("a served model answers, streams, refuses, forgets who left, drains, and reads its keys again")


if __name__ == "__main__":
    main()
