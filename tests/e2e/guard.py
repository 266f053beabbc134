"""What the trainer's guard promises in docs/training.md, on the built program. See guard.sh."""

import json
import math
import os
import pathlib
import pty
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

HADAL = str(pathlib.Path(sys.argv[1]).resolve())
ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCAB = 64
LENGTH = 25  # of a document: one window of seq_len + 1 ids

RECIPE = """
[run]
steps = 160
seed = 3
[model]
preset = "tiny"
vocab_size = 64
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
q_lora_rank = 16
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 48
moe_intermediate_size = 16
n_routed_experts = 8
n_group = 2
topk_group = 1
[data]
seq_len = 24
[batch]
sequences = 2
[learning_rate]
peak = 5e-3
warmup_steps = 3
[guard]
window = 32
[snapshot]
every = 20
keep = 100
"""


def write_ids(path, documents):
    """A Megatron .bin and .idx of 16-bit ids."""
    path.with_suffix(".bin").write_bytes(b"".join(struct.pack(f"<{len(d)}H", *d) for d in documents))
    lengths = [len(d) for d in documents]
    offsets = [2 * sum(lengths[:i]) for i in range(len(lengths))]
    index = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(documents), len(documents) + 1)
    index += struct.pack(f"<{len(lengths)}i", *lengths) + struct.pack(f"<{len(lengths)}q", *offsets)
    path.with_suffix(".idx").write_bytes(index + struct.pack(f"<{len(lengths) + 1}q", *range(len(lengths) + 1)))
    return path


def documents(bad_every, bad):
    counting = [[(7 * d + i) % 60 for i in range(LENGTH)] for d in range(400)]
    return [bad() if bad_every and d % bad_every == bad_every - 1 else ids for d, ids in enumerate(counting)]


class Run:
    def __init__(self, folder, name, data, *sets):
        self.folder, self.path = folder, folder / name
        self.sets = [f'data.train=["{data}"]', f"run.out={self.path}", *sets]

    def words(self, *more):
        sets = [word for key in self.sets for word in ("--set", key)]
        return [HADAL, "train", str(self.folder / "recipe.toml"), "--threads", "2", *sets, *map(str, more)]

    def run(self, *more, status=0, **how):
        result = subprocess.run(self.words(*more), capture_output=True, text=True, timeout=120, **how)
        assert result.returncode == status, (result.returncode, result.stderr[-500:])
        return result

    def metrics(self):
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def records(self):
        return sorted((self.path / "spikes").glob("step-*.json"), key=lambda path: int(path.stem[5:]))

    def model(self):
        return (self.path / "model/model.safetensors").read_bytes()


def replay(record):
    words = [HADAL, "train", "--replay", str(record), "--json", "--threads", "2"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def error_of(result):
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def poisoned_model(folder):
    """A model whose embedding of token 63 is not a number."""
    clean = Run(folder, "seed", write_ids(folder / "clean", documents(0, None)), "run.steps=1")
    clean.run()
    path = clean.path / "model/model.safetensors"
    content = bytearray(path.read_bytes())
    (size,) = struct.unpack("<Q", content[:8])
    embedding = json.loads(content[8 : 8 + size])["model.embed_tokens.weight"]
    row = 8 + size + embedding["data_offsets"][0] + 63 * 32 * 2
    content[row : row + 2] = b"\xc0\x7f"
    path.write_bytes(content)
    return path.parent


def check_batch_that_is_not_finite(folder):
    """Skipped, counted, logged with its place in the data; the next steps are as good as before."""
    data = write_ids(folder / "poison", documents(20, lambda: [63, 7] * 12 + [7]))
    run = Run(folder, "nan", data, f"model.init_from={poisoned_model(folder)}", "run.steps=100")
    text = (folder / "recipe.toml").read_text()
    (folder / "nan.toml").write_text(text[: text.index("[model]")] + "[model]\n" + text[text.index("[data]") :])
    words = [str(folder / "nan.toml") if word.endswith("recipe.toml") else word for word in run.words()]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    rows = run.metrics()
    bad = [row for row in rows if row["loss"] is None]
    assert 2 <= len(bad) == rows[-1]["skipped"] < 50, len(bad)
    assert result.stderr.count(" skipped: not finite") == len(bad)
    assert f"(samples {2 * (bad[0]['step'] - 1)} to {2 * bad[0]['step'] - 1})" in result.stderr, result.stderr
    assert "skipped: not finite" in (run.path / "log.txt").read_text()
    good = [row["loss"] for row in rows if row["loss"] is not None]
    assert good[-1] < 0.5 * good[0], (good[0], good[-1])
    told = replay(run.records()[0])
    assert told["same_bits"] and told["skipped"] and told["loss"] is None, told
    assert any(layer["not_finite"] for layer in told["layers"])
    assert told["sequences"][0]["loss"] is None and 63 in told["sequences"][0]["first_ids"], told["sequences"]


def check_divergence(folder):
    """k skipped steps in a row: exit status 1, and the weights of before them in a snapshot that is whole."""
    data = write_ids(folder / "all_bad", documents(2, lambda: [63, 7] * 12 + [7]))
    run = Run(folder, "diverged", data, f"model.init_from={folder / 'seed/model'}", "guard.max_skipped_run=4")
    words = [str(folder / "nan.toml") if word.endswith("recipe.toml") else word for word in run.words()]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1, (result.returncode, result.stderr)
    error = error_of(result)
    assert "diverged: 4 steps in a row" in error and len(error) < 600, error
    last = run.metrics()[-1]["step"]
    assert (run.path / f"snapshots/step-{last:06}").exists() and f"snapshot of step {last}" in error, error
    assert not (run.path / "model").exists()
    checked = subprocess.run([HADAL, "inspect", str(run.path), "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def check_spikes_of_corrupt_text(folder):
    """Found and recorded; run again to the same bits from the nearest snapshot; skipped if asked for."""
    noise = random.Random(1)
    data = write_ids(folder / "corrupt", documents(50, lambda: [noise.randrange(60) for _ in range(LENGTH)]))
    run = Run(folder, "spikes", data)
    result = run.run()
    last = run.metrics()[-1]
    assert last["spikes"] >= 2 and last["skipped"] == 0, last
    assert result.stderr.count("deviations above its median") >= last["spikes"], result.stderr
    record = run.records()[-1]
    told = replay(record)
    step = int(record.stem[5:])
    assert told["same_bits"] and told["step"] == step, told
    assert told["replayed_from_step"] == (step - 1) // 20 * 20, told
    together = math.sqrt(sum(layer["grad_norm"] ** 2 for layer in told["layers"]))
    assert abs(together - told["grad_norm"]) < 1e-9 * together
    worst = told["sequences"][0]
    assert worst["loss"] > 2 * told["loss_median"] and worst["loss"] >= told["sequences"][1]["loss"], told
    skipping = Run(folder, "skipping", data, "guard.skip_spikes=true", "guard.save_state=true")
    skipping.run()
    assert skipping.metrics()[-1]["skipped"] >= 2
    told = replay(skipping.records()[-1])
    assert told["same_bits"] and told["replayed_from_step"] == told["step"] - 1, told


def check_kill_keeps_the_guard(folder):
    """Killed and resumed in the middle of its windows: the same spikes, the same weights."""
    data = folder / "corrupt"
    run = Run(folder, "killed", data, "guard.skip_spikes=true", "snapshot.every=7")
    for kill_at in (40, 90, 130):
        process = subprocess.Popen(run.words("--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            metrics = run.path / "metrics.jsonl"
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= kill_at:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run.run("--resume")
    whole = Run(folder, "skipping", data)
    keys = ("step", "loss", "grad_norm", "skipped", "spikes", "dead_experts", "starved_experts")
    assert [[row.get(key) for key in keys] for row in run.metrics()] == [
        [row.get(key) for key in keys] for row in whole.metrics()
    ]
    assert run.model() == whole.model()


def check_starving_experts(folder):
    """Ids that are all one: few experts get every token, the others starve, which is said once."""
    data = write_ids(folder / "one", [[5] * LENGTH for _ in range(60)])
    sets = ("balance.bias_rate=0.0", "balance.alpha=0.0", "balance.starved_steps=5", "run.steps=20", "guard.window=0")
    run = Run(folder, "starving", data, *sets)
    result = run.run()
    rows = run.metrics()
    assert rows[4]["starved_experts"] > 0 == rows[3]["starved_experts"], rows[4]
    assert rows[-1]["dead_experts"] > 0 and rows[-1]["max_violation"] > 1, rows[-1]
    first = [line for line in result.stderr.splitlines() if "after step 5 expert" in line]
    assert len(first) == 1 and "of MoE layer 1" in first[0], result.stderr
    assert "expert_balance.svg" in {path.name for path in run.path.iterdir()}


def check_memory(folder):
    """Refused before anything is written; --ignore-memory starts, and what then fails is one line."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    large = ("batch.sequences=16384", "batch.micro_batch=16384", "run.steps=1")
    run = Run(folder, "large", folder / "clean", *large)
    error = error_of(run.run(status=2, preexec_fn=limit))
    assert "not enough memory: this run needs" in error and "the limit of the address space" in error, error
    assert not run.path.exists()
    error = error_of(run.run("--ignore-memory", status=1, preexec_fn=limit))
    assert "memory" in error, error
    plan = run.run("--dry-run", "--json")
    assert json.loads(plan.stdout)["total_bytes"] > 400 << 20
    assert not (run.path / "metrics.jsonl").exists()


def check_step_table(folder):
    """The report's schedule, in no time and memory."""
    words = [HADAL, "train", str(ROOT / "recipes/v3_671b/pretrain.toml"), "--dry-run", "--json"]

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    result = subprocess.run(words, capture_output=True, text=True, timeout=20, cwd=folder, preexec_fn=limit)
    plan = json.loads(result.stdout)
    rows = {row["at"]: row for row in plan["schedule"]}
    assert rows["end"]["step"] == plan["steps"] == 242785
    assert rows["start"]["batch"] == 3072 and rows["batch ramp ends"]["batch"] == 15360
    assert [row["lr"] for row in plan["schedule"]][-2:] == [7.3e-6, 7.3e-6]
    assert rows["cosine ends, bias rate ends"]["bias_rate"] == 0
    assert not list(folder.glob("runs"))


def check_watch(folder):
    """One picture into a pipe; on a terminal until q, which leaves the terminal as it was."""
    run = folder / "spikes"
    words = [HADAL, "train", "--watch", str(run)]
    picture = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert picture.returncode == 0 and "finished" in picture.stdout and "MoE 1" in picture.stdout, picture
    assert "\x1b" not in picture.stdout and max(map(len, picture.stdout.splitlines())) <= 100
    figures = json.loads(subprocess.run([*words, "--json"], capture_output=True, timeout=20).stdout)
    assert figures["finished"] and figures["steps"] == 160 and figures["last"][0]["step"] == 160, figures
    child, terminal = pty.fork()
    if child == 0:
        os.execv(HADAL, words)
    shown = b""
    while b"q quits" not in shown:
        shown += os.read(terminal, 65536)
    os.write(terminal, b"xq")
    try:
        while block := os.read(terminal, 65536):
            shown += block
    except OSError:
        pass  # its end, on Linux
    assert os.waitpid(child, 0)[1] == 0
    assert shown.startswith(b"\x1b[?1049h") and shown.endswith(b"\x1b[?1049l"), shown[-60:]


def main():
    checks = [
        check_batch_that_is_not_finite, check_divergence, check_spikes_of_corrupt_text, check_kill_keeps_the_guard,
        check_starving_experts, check_memory, check_step_table, check_watch,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="hadal-guard-") as name:
        folder = pathlib.Path(name)
        (folder / "recipe.toml").write_text(RECIPE)
        for check in checks:
            begin = time.monotonic()
            check(folder)
            print(f"{check.__name__[6:].replace('_', ' ')}: {time.monotonic() - begin:.1f} s")


main()
