"""The table of faults in docs/training.md, on the built program. See faults.sh."""

import fcntl
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

HADAL = str(pathlib.Path(sys.argv[1]).resolve())

RECIPE = """
[run]
steps = 40
seed = 5
[model]
preset = "tiny"
[data]
train = ["{data}/copy.train", "{data}/reverse.train"]
seq_len = 16
[batch]
sequences = 4
ramp_from = 2
ramp_until = "20%"
[optimizer]
moments = "bf16"
[ema]
decay = 0.9
[snapshot]
every = 2
keep = 3
"""


class Run:
    """One run's directory, and the command that begins or continues it."""

    def __init__(self, folder, name):
        self.folder, self.path = folder, folder / name

    def words(self, *more):
        out = f"run.out={self.path}"
        return [HADAL, "train", str(self.folder / "recipe.toml"), "--set", out, "--threads", "2", *map(str, more)]

    def start(self, *more, **how):
        return subprocess.Popen(
            self.words("--resume", *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
        )

    def run(self, *more, status=0, **how):
        result = subprocess.run(self.words("--resume", *more), capture_output=True, text=True, timeout=120, **how)
        assert result.returncode == status, (result.returncode, result.stderr[-500:])
        return result

    def stopped_in_the_middle(self):
        """A few snapshots, the newest not of the run's end."""
        process = self.start()
        self.wait_for_step(9)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.stderr.read()
        process.communicate()
        return self

    def steps(self):
        try:
            return len((self.path / "metrics.jsonl").read_text().splitlines())
        except FileNotFoundError:
            return 0

    def wait_for_step(self, step):
        for _ in range(60_000):
            if self.steps() >= step:
                return
            time.sleep(0.001)
        raise AssertionError(f"step {step} did not come")

    def snapshots(self):
        return sorted(path for path in (self.path / "snapshots").iterdir() if ".tmp-" not in path.name)

    def models(self):
        return [(self.path / name / "model.safetensors").read_bytes() for name in ("model", "model-ema")]


def error_of(result):
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def shard_of(snapshot):
    return next(snapshot.glob("tensors-*.safetensors"))


def inspect(path):
    words = [HADAL, "inspect", str(path), "--check", "--json"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def stopped_by(folder, whole, number):
    """A signal: the step is finished, a snapshot written, the exit status 0, and nothing is lost."""
    run = Run(folder, f"signal{number}")
    process = run.start("--set", "snapshot.every=0")
    run.wait_for_step(5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "--resume" in out, out
    (newest,) = run.snapshots()
    assert int(newest.name[5:]) == run.steps() < 40, (newest, run.steps())
    run.run()
    assert run.models() == whole


def fault_export_ema(folder, whole):
    """The average is exported while the run goes on, and at its end is that of the run itself."""
    run = Run(folder, "average")
    process = run.start()
    run.wait_for_step(5)
    words = [HADAL, "train", "--export-ema", str(run.path), "--out", str(folder / "early")]
    early = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert early.returncode == 0, early.stderr
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    words[-1] = str(folder / "late")
    late = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert late.returncode == 0, late.stderr
    assert run.models() == whole
    early_bytes, late_bytes = ((folder / name / "model.safetensors").read_bytes() for name in ("early", "late"))
    assert late_bytes == whole[1] and early_bytes != whole[1]


def fault_sigint(folder, whole):
    stopped_by(folder, whole, signal.SIGINT)


def fault_sigterm(folder, whole):
    stopped_by(folder, whole, signal.SIGTERM)


def fault_sigusr1(folder, whole):
    stopped_by(folder, whole, signal.SIGUSR1)


def fault_kill_while_a_snapshot_is_written(folder, whole):
    run = Run(folder, "killed")
    inside = 0
    for _ in range(12):
        process = run.start("--set", "snapshot.every=1")
        deadline = time.monotonic() + random.uniform(0.05, 0.3)
        while time.monotonic() < deadline or not (run.path / "snapshots").exists():
            time.sleep(0.002)
        # Most kills come while a directory with a temporary name is there.
        for _ in range(200):
            if process.poll() is not None or list((run.path / "snapshots").glob("*.tmp-*")):
                break
        process.kill()
        err = process.communicate()[1]
        assert "error" not in err and "warning" not in err, err
        inside += bool(list((run.path / "snapshots").glob("*.tmp-*")))
    run.run()
    assert run.models() == whole
    assert not list(run.path.rglob("*.tmp-*"))
    assert inside > 0


def fault_disk_full(folder, whole):
    """A limit on a file's size stands for the disk. Training goes on to the end, where it is an error; the model is there."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))

    run = Run(folder, "full").stopped_in_the_middle()
    before = {path.name: shard_of(path).read_bytes() for path in run.snapshots()}
    assert min(map(len, before.values())) > 4_000_000, "the limit must hit snapshots"
    result = run.run("--set", "snapshot.max_failures=0", status=1, preexec_fn=limit)
    assert "last good one" in error_of(result), result.stderr
    assert "training goes on" in result.stderr and run.steps() == 40, result.stderr
    last = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["failed_snapshots"] > 3, last
    assert {path.name: shard_of(path).read_bytes() for path in run.snapshots()} == before
    assert not list(run.path.rglob("*.tmp-*"))
    result = run.run("--set", "snapshot.max_failures=2", status=1, preexec_fn=limit)
    assert "2 snapshots in a row" in error_of(result), result.stderr
    run.run()
    assert run.models() == whole


def damaged(folder, name, damage, part):
    """The newest snapshot is damaged: named with file and tensor, the one before is taken, the end is the same."""
    run = Run(folder, name).stopped_in_the_middle()
    newest = run.snapshots()[-1]
    damage(newest)
    result = inspect(run.path)
    assert result.returncode == 2 and part in error_of(result) and not result.stdout, result.stderr
    result = run.run("--json")
    assert part in result.stderr and newest.name in result.stderr, result.stderr
    resumed = json.loads(result.stdout.splitlines()[-1])["resumed_from_step"]
    assert 0 < resumed < int(newest.name[5:]), resumed
    return run


def fault_bit_flip(folder, whole):
    def flip(snapshot):
        content = bytearray(shard_of(snapshot).read_bytes())
        content[len(content) // 2] ^= 4
        shard_of(snapshot).write_bytes(content)

    run = damaged(folder, "flipped", flip, "tensor '")
    assert run.models() == whole


def fault_truncated_shard(folder, whole):
    def cut(snapshot):
        os.truncate(shard_of(snapshot), shard_of(snapshot).stat().st_size - 9)

    run = damaged(folder, "cut", cut, "tensors-00001-of-00001.safetensors")
    assert run.models() == whole


def fault_missing_shard(folder, whole):
    run = damaged(folder, "missing", lambda snapshot: shard_of(snapshot).unlink(), "is missing")
    assert run.models() == whole
    result = inspect(run.path)
    report = json.loads(result.stdout)
    assert [row["whole"] for row in report["snapshots"]] == [True] * report["count"], report
    assert json.loads(inspect(run.snapshots()[0]).stdout)["count"] == 1


def fault_changed_data(folder, whole):
    data = folder / "data/copy.train.bin"
    run = Run(folder, "data").stopped_in_the_middle()
    before = data.read_bytes()
    try:
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        data.write_bytes(changed)
        assert "'copy.train' holds other token ids" in error_of(run.run(status=2))
        data.write_bytes(before[:-20])
        assert "copy.train.bin" in error_of(run.run(status=2))
        fewer = ["--set", f'data.train=["{folder}/data/copy.train"]']
        data.write_bytes(before)
        assert "'reverse.train' of" in (error := error_of(run.run(*fewer, status=2))) and "is missing" in error, error
    finally:
        data.write_bytes(before)
    run.run()
    assert run.models() == whole


def fault_two_jobs(folder, whole):
    run = Run(folder, "twice")
    first = run.start()
    run.wait_for_step(1)
    second = run.start()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2, err
    assert f"process {first.pid} on" in err and err.count("\n") == 1, err
    first.kill()
    first.communicate()
    # A killed job leaves no lock; one of a process that lives is respected, whoever it is.
    with open(run.path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another job" in error_of(run.run(status=2))
    run.run()
    assert run.models() == whole


def fault_config_mismatch(folder, whole):
    run = Run(folder, "mismatch").stopped_in_the_middle()
    other = ["--set", "model.moe_intermediate_size=32", "--set", "run.seed=6", "--set", "learning_rate.peak=1e-3"]
    error = error_of(run.run(*other, status=2))
    for part in ("model.moe_intermediate_size is 32", "run.seed is 6, was 5", "learning_rate.peak is 0.001"):
        assert part in error, error
    assert "--allow-change learning_rate.peak" in error, error
    allowed = ["--set", "learning_rate.peak=1e-3", "--allow-change", "learning_rate.peak"]
    assert "warning: allowed to change: learning_rate.peak is 0.001" in run.run(*allowed).stderr
    assert run.models() != whole


def fault_unwritable_logs(folder, whole):
    run = Run(folder, "logs")
    process = run.start()
    run.wait_for_step(3)
    for name in ("loss.svg", "expert_load.svg", "log.txt"):
        path = run.path / name
        path.unlink(missing_ok=True)
        (path / "in_the_way").mkdir(parents=True)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("training goes on without this") == 1, err
    assert run.models() == whole and run.steps() == 40


def main():
    random.seed(os.environ.get("HADAL_TEST_SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="hadal-faults-") as name:
        folder = pathlib.Path(name)
        (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 100)
        subprocess.run(
            [HADAL, "tokenizer", "train", folder / "text.txt", "--vocab-size", "300", "--out", folder / "tokenizer"],
            check=True, capture_output=True,
        )  # fmt: skip
        tasks = ["--task", "copy=200", "--task", "reverse=200", "--out", folder / "tasks.jsonl"]
        subprocess.run([HADAL, "data", "synth", *tasks], check=True, capture_output=True)
        subprocess.run(
            [HADAL, "data", "pack", folder / "tasks.jsonl", "--tokenizer", folder / "tokenizer",
             "--out", folder / "data"],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "recipe.toml").write_text(RECIPE.format(data=folder / "data"))
        undisturbed = Run(folder, "whole")
        undisturbed.run()
        whole = undisturbed.models()
        failed = 0
        for fault, check in [(name[6:], check) for name, check in globals().items() if name.startswith("fault_")]:
            begin = time.monotonic()
            try:
                check(folder, whole)
                verdict = "survived"
            except AssertionError as error:
                verdict = f"NOT SURVIVED: {error}"
                failed += 1
            print(f"{fault.replace('_', ' ')}: {verdict} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(failed > 0)


main()
