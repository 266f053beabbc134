"""What the command line promises, checked on the built program. See promises.sh."""

import array
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import fixtures

ROOT = pathlib.Path(__file__).resolve().parents[2]
HADAL = str(pathlib.Path(sys.argv[1]).resolve())


def run(*words, status=0, given=b"", **how):
    result = subprocess.run([HADAL, *map(str, words)], input=given, capture_output=True, **how)
    assert result.returncode == status, f"hadal {words}: status {result.returncode}: {result.stderr[-400:]!r}"
    return result


def error_line(result):
    lines = [line for line in result.stderr.decode().splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def verbs():
    """As `hadal --help` lists them: two spaces, the name, at least two spaces, the summary."""
    lines = run("--help").stdout.decode().splitlines()
    found = [line.split("  ")[1] for line in lines if line.startswith("  ") and not line.startswith("  hadal ")]
    assert len(found) >= 16, found
    return found


# What the examples need to be quick; they are run as they stand otherwise.
SHORTER = {
    "bench train": " --steps 1 --set model.num_hidden_layers=2 --set batch.sequences=1 --set batch.micro_batch=1",
    "bench fp8-accumulation": " --rows 8",
    "data collect": " --limit code=2000000",
    "train": " --set run.steps=2 --set learning_rate.warmup_steps=1",
}


# These listen until they are told to end.
SERVERS = {"serve", "plan --serve"}


def check_server(example, folder, environment):
    """Says where it listens, answers there, and ends in peace when it is asked to."""
    server = subprocess.Popen(
        ["bash", "-c", f"exec {re.sub(' --port [0-9]+', '', example)} --port 0"], cwd=folder, env=environment, stdout=subprocess.PIPE
    )
    try:
        url = re.search(r"http://[\d.:]+", server.stdout.readline().decode()).group()
        with urllib.request.urlopen(f"{url}/", timeout=30) as page:
            assert page.headers["Content-Security-Policy"].startswith("default-src 'none'"), example
        server.terminate()
        assert server.wait(timeout=30) == 0, example
    finally:
        server.kill()


def example_of(verb):
    help_text = run(*verb.split(), "--help").stdout.decode()
    assert help_text.startswith("Example:\n  "), verb
    return help_text.splitlines()[1].strip()


def check_examples(folder):
    """In the order of `hadal --help`, in a folder with what the demo makes: an example may use what an earlier one made."""
    model = folder / "runs/demo/train/model"
    model.parent.mkdir(parents=True)
    shutil.copytree(folder / "good", model)
    (folder / "runs/demo/corpus").mkdir()
    (folder / "runs/demo/corpus/evaluation.jsonl").write_text('{"task": "copy", "prompt": "copy a:", "answer": "a"}\n')
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copy(ROOT / "README.md", folder)
    (folder / "models").mkdir()
    shutil.copy(ROOT / "tests/golden/gguf/model.gguf", folder / "models/deepseek-v3.gguf")
    environment = os.environ | {"PATH": f"{pathlib.Path(HADAL).parent}:{os.environ['PATH']}"}
    shutil.rmtree(folder / "tokenizer")
    shutil.rmtree(folder / "packed")
    # Documents come before the tokenizer that learns from them.
    for verb in sorted(verbs(), key=lambda v: ["data collect", "data synth", "tokenizer"].index(
        v if v in ("data collect", "data synth") else "tokenizer"
    )):
        example = example_of(verb) + SHORTER.get(verb, "")
        if verb in SERVERS:
            check_server(example, folder, environment)
            continue
        result = subprocess.run(
            ["bash", "-o", "pipefail", "-c", example], cwd=folder, env=environment, capture_output=True, input=b""
        )
        assert result.returncode == 0, f"{example}: {result.stderr.decode()[-300:]}"


KEYS = {
    "doctor": ["cpu", "isa", "threads", "read_gbps", "gpu", "mpi"],
    "init": ["parameters", "active_parameters"],
    "inspect": ["parameters", "active_parameters", "mtp_parameters", "kv_bytes_per_token", "tensors"],
    "data stats": ["documents", "tokens"],
    "tokenizer encode": ["ids"],
    "tokenizer decode": ["text"],
    "score": ["sequences", "nll"],
    "perplexity": ["nll", "perplexity", "tokens"],
    "generate": "text tokens finish_reason prefill_tokens_per_second decode_tokens_per_second draft_tokens "
    "accepted_tokens".split(),
    "eval": ["tasks"],
    "bench train": ["tokens_per_second", "gflops", "share_of_peak", "peak_bytes"],
    "train": ["loss", "finished"],
}
STEP_KEYS = (
    "step tokens loss mtp_loss balance_loss grad_norm lr batch seq_len tokens_per_second step_seconds max_violation "
    "expert_load_entropy skipped bytes_peak"
).split()


def check_json(folder):
    good, recipe = folder / "good", folder / "recipe.toml"
    evaluation = folder / "evaluation.jsonl"
    evaluation.write_text('{"task": "copy", "prompt": "copy a:", "answer": "a"}\n')
    arguments = {
        "doctor": [],
        "init": ["--preset", "tiny", "--out", folder / "json_model"],
        "inspect": [good],
        "data stats": [folder / "packed"],
        "tokenizer encode": [folder / "tokenizer", "-p", "a fox"],
        "tokenizer decode": [folder / "tokenizer", "70", "71"],
        "score": [good, "--tokens", "-"],
        "perplexity": [good, "--text", folder / "text.txt", "--context", "64"],
        "generate": [good, "-p", "The", "-n", "3"],
        "eval": [good, "--data", evaluation],
        "bench train": [recipe, "--steps", "1"],
        "train": [recipe, "--set", f"run.out={folder / 'json_run'}"],
    }
    for verb, keys in KEYS.items():
        result = run(*verb.split(), *arguments[verb], "--json", given=b"[[1,2,3]]")
        lines = result.stdout.decode().splitlines()
        objects = [json.loads(line) for line in lines]
        assert len(objects) == (5 if verb == "train" else 1), (verb, len(objects))
        missing = [key for key in keys if key not in objects[-1]]
        assert not missing, (verb, missing)
        if verb == "train":
            logged = (folder / "json_run/metrics.jsonl").read_text().splitlines()
            for step in [*objects[:-1], *map(json.loads, logged)]:
                assert not [key for key in STEP_KEYS if key not in step], step
        assert "error" not in result.stderr.decode(), verb


def check_bytes(folder):
    odd = b"valid \xe2\x82\xac, then not: \xff\xfe \x80 \xc3( \xed\xa0\x80 \xf5\x80 end \xe2\x82"
    (folder / "odd.bin").write_bytes(odd)
    ids = json.loads(run("tokenizer", "encode", folder / "tokenizer", "--text", folder / "odd.bin", "--json").stdout)
    text = run("tokenizer", "decode", folder / "tokenizer", "--tokens", "-", given=json.dumps(ids["ids"]).encode())
    assert text.stdout == odd + b"\n", text.stdout
    run("tokenizer", "decode", folder / "tokenizer", *ids["ids"], "--json").stdout.decode()  # still JSON, still UTF-8

    # Through documents and packed ids: a few stray bytes in a long text.
    (folder / "odd").mkdir()
    document = b"plain words and more plain words\n" * 40 + odd
    (folder / "odd/a.txt").write_bytes(document)
    run("data", "collect", folder / "odd", "--out", folder / "odd.jsonl")
    run("data", "pack", folder / "odd.jsonl", "--tokenizer", folder / "tokenizer", "--out", folder / "odd_packed",
        "--fim-rate", 0, "--validation-every", 0)  # fmt: skip
    packed = (folder / "odd_packed/text.train.bin").read_bytes()
    ids = array.array("H" if len(packed) % 4 or max(array.array("I", packed)) > 300 else "I", packed)
    text = run("tokenizer", "decode", folder / "tokenizer", "--skip-special", *ids).stdout
    assert text == document + b"\n", text[-80:]


def check_scores(folder):
    """`score --out` against what Transformers computed (tests/golden/base/README.md has the tolerances)."""
    base = ROOT / "tests/golden/base"
    golden = fixtures.Safetensors(base / "golden.safetensors")

    def values(file, name, code="f"):
        return array.array(code, bytes(file.data[file.bytes_of(name)]))

    rows, columns = golden.header["input_ids"]["shape"]
    ids = list(values(golden, "input_ids", "q"))
    sequences = [ids[r * columns : (r + 1) * columns] for r in range(rows)]
    (folder / "ids.json").write_text(json.dumps(sequences))
    out = folder / "scores.safetensors"
    report = run("score", base, "--tokens", folder / "ids.json", "--out", out, "--gradients", "--json")
    report = json.loads(report.stdout)
    ours = fixtures.Safetensors(out)
    assert abs(report["nll"] - values(golden, "loss")[0]) < 1e-6
    assert [len(s["logprobs"]) for s in report["sequences"]] == [columns - 1] * rows

    def close(name, relative, absolute):
        pairs = list(zip(values(ours, name), values(golden, name), strict=True))
        worst = max(abs(x - y) - relative * abs(y) for x, y in pairs)
        assert worst <= absolute, (name, worst)

    compared = 0
    for name in golden.header:
        if name == "logits" or name.startswith("hidden."):
            close(name, 1e-5, 2e-5)
        elif name.startswith("grad."):
            close(name, 1e-4, 1e-6)
        elif name.endswith(".scores"):
            close(name, 1e-5, 1e-6)
        elif name.endswith(".topk_ids"):
            top_k = golden.header[name]["shape"][1]
            expected, given = values(golden, name, "q"), values(ours, name, "i")
            for t in range(0, len(expected), top_k):
                assert sorted(given[t : t + top_k]) == sorted(expected[t : t + top_k]), (name, t)
        else:
            continue
        compared += 1
    assert compared > 60, compared
    assert run("score", base, "--tokens", folder / "ids.json", "--out", folder / "nowhere/x", status=1).stdout == b""


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_full_disk(folder):
    """A limit on a file's size stands for the full disk: the write fails part of the way. What was there stays, nothing is added."""

    def limited(kilobytes):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

        return limit

    before = contents(folder)
    for words in (
        ["init", "--preset", "tiny", "--out", folder / "full_model"],
        ["init", "--preset", "tiny", "--out", folder / "good", "--force"],
        ["score", folder / "good", "--tokens", folder / "ids.json", "--out", folder / "full.safetensors"],
        ["tokenizer", "train", folder / "text.txt", "--vocab-size", 300, "--out", folder / "full_tokenizer"],
        ["data", "synth", "--task", "copy=500", "--out", folder / "full.jsonl"],
        ["data", "pack", folder / "copy.jsonl", "--tokenizer", folder / "tokenizer", "--out", folder / "full_pack"],
    ):
        error = error_line(run(*words, status=1, preexec_fn=limited(4)))
        assert "File too large" in error or "disk" in error or "space" in error, error
        after = contents(folder)
        assert before == after, sorted(set(after) ^ set(before))[:3]
    # A run: its snapshots, then no room for the next.
    train = ["train", folder / "recipe.toml", "--set", f"run.out={folder / 'full_run'}", "--set", "run.steps=6"]
    run(*train[:-1], "run.steps=6", "--set", "snapshot.keep=9")
    whole = (folder / "full_run/model/model.safetensors").read_bytes()
    for name in ("step-000004", "step-000006"):
        shutil.rmtree(folder / "full_run/snapshots" / name)
    shutil.rmtree(folder / "full_run/model")
    snapshots = contents(folder / "full_run/snapshots")
    train += ["--set", "snapshot.keep=9", "--resume"]
    result = run(*train, status=1, preexec_fn=limited(1024))
    error_line(result)
    assert b"no snapshot after step 4, training goes on" in result.stderr, result.stderr
    assert contents(folder / "full_run/snapshots") == snapshots
    run(*train)
    assert (folder / "full_run/model/model.safetensors").read_bytes() == whole


def check_full_file_system(folder):
    """The same on a real one, where we may make one: a small tmpfs."""
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", small], capture_output=True).returncode:
        return
    try:
        train = ["train", folder / "recipe.toml", "--set", f"run.out={small / 'run'}", "--set", "snapshot.every=1"]
        train += ["--set", "run.steps=4", "--set", "snapshot.keep=4", "--set", "snapshot.max_failures=0"]
        result = run(*train, status=1)
        error = error_line(result)
        assert "free space" in error and "step 4" in error, error
        assert b"training goes on" in result.stderr, result.stderr
        assert len((small / "run/metrics.jsonl").read_text().splitlines()) == 4
        kept = sorted(path.name for path in (small / "run/snapshots").iterdir())
        assert kept and all(name.startswith("step-") and "tmp" not in name for name in kept), kept
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        resumed = run(*train, "--resume", "--json")
        assert json.loads(resumed.stdout.splitlines()[-1])["resumed_from_step"] == int(kept[-1][5:])
    finally:
        subprocess.run(["umount", small], check=True)


def check_kills(folder):
    """Killed at random moments, most of them inside a snapshot's writing, a run always goes on and ends with the same bits."""
    random.seed(os.environ.get("HADAL_TEST_SEED", "1"))
    kills = int(os.environ.get("HADAL_TEST_KILLS", "10"))
    steps = 4 * kills
    settings = ["--set", f"run.steps={steps}", "--set", "snapshot.every=1", "--set", "snapshot.keep=2", "--threads", "2"]
    begin = time.monotonic()
    run("train", folder / "recipe.toml", *settings, "--set", f"run.out={folder / 'whole'}")
    step_seconds = (time.monotonic() - begin) / (steps + 1)
    words = [HADAL, "train", str(folder / "recipe.toml"), *settings, "--set", f"run.out={folder / 'killed'}", "--resume"]
    for kill in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(random.uniform(0, 5 * step_seconds))
        process.kill()
        error = process.communicate()[1].decode()
        assert "error" not in error and "warning" not in error, (kill, error)
    run(*words[1:])
    for name in ("model.safetensors", "config.json"):
        assert (folder / "killed/model" / name).read_bytes() == (folder / "whole/model" / name).read_bytes(), name
    left = [str(path) for path in (folder / "killed").rglob("*.tmp-*")]
    assert not left, left


def main():
    with tempfile.TemporaryDirectory(prefix="hadal-promises-") as name:
        folder = pathlib.Path(name)
        made = fixtures.Fixtures(HADAL, folder)
        made.texts()
        made.good_model()
        made.runs()
        failed = 0
        for check in (
            check_json, check_bytes, check_scores, check_full_disk, check_full_file_system, check_kills, check_examples
        ):  # fmt: skip
            begin = time.monotonic()
            try:
                check(folder)
                verdict = "kept"
            except AssertionError as error:
                verdict = f"BROKEN: {error}"
                failed += 1
            print(f"{check.__name__[6:]}: {verdict} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(failed > 0)


main()
