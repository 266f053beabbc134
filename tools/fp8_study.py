#!/usr/bin/env python3
"""Trains the variants of recipes/fp8_study.toml and compares them: tools/fp8_study.py build/release/hadal

Ctrl-C ends well (each run writes a snapshot); the same command goes on from there, and a finished variant is not trained
again. Writes OUT/table.md and OUT/*.svg, also of runs that are not finished yet (--report only draws).
"""
import argparse
import json
import pathlib
import signal
import subprocess
import sys
import time

TILES = ("activations", "weights", "gradients")
FP8 = ["precision.linear=fp8"]
VARIANTS = {  # name: (settings, what it is)
    "bf16": ([], "BF16, bias balancing, MTP"),
    "fp8": (FP8, "FP8 as the report: 1×128, weights 128×128"),
    "tensor": (FP8 + [f"precision.{t}=tensor" for t in TILES], "FP8, one scale a tensor"),
    "mxfp8": (FP8 + [f"precision.{t}=1x32" for t in TILES], "FP8, 1×32 tiles, powers of two (MXFP8)"),
    "blocks": (FP8 + ["precision.gradients=128x128"], "FP8, gradients in 128×128 blocks"),
    "e5m2": (FP8 + ["precision.gradient_format=e5m2"], "FP8, gradients in E5M2"),
    "aux_loss": (["balance.bias_rate=0", "balance.alpha=0.01"], "BF16, balancing by loss (α 0.01)"),
    "no_mtp": (["mtp.weight=0", "mtp.late_weight=0"], "BF16 without MTP"),
    "f32": (["run.dtype=f32"], "float32: how far bf16 itself is"),
}
PICTURES = {  # file: (title, variants, quantity)
    "fp8_loss_difference.svg": ("Loss against BF16, relative, EMA 0.9", ["fp8", "mxfp8", "e5m2", "blocks", "tensor", "f32"], "relative"),
    "fp8_loss.svg": ("Loss, EMA 0.9", ["bf16", "fp8", "tensor"], "loss"),
    "mtp_loss_difference.svg": ("Main loss without MTP against with, relative, EMA 0.9", ["no_mtp"], "relative"),
    "balance_loss_difference.svg": ("Loss of balancing by loss against by bias, relative, EMA 0.9", ["aux_loss"], "relative"),
    "balance_violation.svg": ("Largest load of an expert above the mean, EMA 0.9", ["bf16", "aux_loss"], "violation"),
}
COLOURS = ["#1f5fa8", "#c8501e", "#2d8a4e", "#8a3fa0", "#b08a00", "#666666"]
SOURCES = ("headers", "notes", "story")  # of the demo's corpus, as in the recipe
WARM_UP = 200  # steps that comparisons leave out: the loss falls by nats there


def smooth(values, factor=0.9):
    result, mean = [], None
    for value in values:
        mean = value if mean is None else factor * mean + (1 - factor) * value
        result.append(mean)
    return result


class Run:
    def __init__(self, out, name):
        self.path, self.name = out / name, name

    def finished(self):
        return (self.path / "model" / "config.json").exists()

    def rows(self):
        log = self.path / "metrics.jsonl"
        if not log.exists():
            return []
        return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]

    def curve(self, key):
        """{step: value}, smoothed; step 0 is the untrained model's validation."""
        rows = [row for row in self.rows() if row["step"] > 0]
        return dict(zip((row["step"] for row in rows), smooth([row[key] for row in rows])))

    def command(self, arguments):
        command = [arguments.hadal, "train", "recipes/fp8_study.toml", "--set", f"run.out={self.path}"]
        for setting in VARIANTS[self.name][0] + arguments.set:
            command += ["--set", setting]
        corpus = arguments.out / "corpus"
        for split in ("train", "validation"):
            sets = [str(corpus / "packed" / f"{source}.{split}") for source in SOURCES]
            command += ["--set", f"data.{split}={json.dumps(sets)}"]
        command += ["--set", f"data.tokenizer={corpus / 'tokenizer'}"]
        if (self.path / "snapshots").exists():
            command.append("--resume")
        elif (self.path / "metrics.jsonl").exists():
            command.append("--force")
        return command + (["-t", str(arguments.threads)] if arguments.threads else [])


def train(arguments):
    """All variants that are not finished, --jobs at a time. False if stopped or one failed."""
    waiting = [run for name in arguments.variants if not (run := Run(arguments.out, name)).finished()]
    running, stopping, failed = {}, [], False
    for number in (signal.SIGINT, signal.SIGTERM):  # the runs end themselves, with a snapshot
        signal.signal(number, lambda *_: stopping.append(True))
    while running or (waiting and not stopping):
        while waiting and len(running) < arguments.jobs and not stopping:
            run = waiting.pop(0)
            print(f"{run.name}: {VARIANTS[run.name][1]}", flush=True)
            with open(arguments.out / f"{run.name}.log", "ab") as log:
                running[run] = subprocess.Popen(run.command(arguments), stdout=log, stderr=log, start_new_session=True)
        if stopping:
            for process in running.values():
                process.send_signal(signal.SIGINT)
            for process in running.values():
                process.wait()
        for run, process in list(running.items()):
            if process.poll() is not None:
                del running[run]
                if process.returncode != 0 and not stopping:
                    failed = True
                    print(f"error: {run.name} ended with {process.returncode}, see {arguments.out / run.name}.log", file=sys.stderr)
        time.sleep(0.5)
    if stopping:
        print("stopped; the same command goes on")
    return not stopping and not failed


def relative(curve, reference):
    return {step: value / reference[step] - 1 for step, value in curve.items() if step in reference and step > WARM_UP}


def draw(path, title, curves, percent):
    """Curves {name: {step: value}} as a small SVG."""
    curves = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not curves:
        return
    width, height, left, top = 720, 360, 60, 34
    steps = [step for curve in curves.values() for step in curve]
    values = sorted(value for curve in curves.values() for value in curve.values())
    first, last = min(steps), max(steps)
    low, high = values[len(values) // 500], values[-1 - len(values) // 500]  # a lone spike does not flatten the rest
    if percent:
        low, high = min(low, -0.003), max(high, 0.003)
    margin = 0.05 * (high - low) or 1
    low, high = low - margin, high + margin
    x = lambda step: left + (step - first) / (last - first) * (width - left - 20)
    y = lambda value: top + (high - min(max(value, low), high)) / (high - low) * (height - top - 36)
    text = lambda value: f"{100 * value:.2f} %" if percent else f"{value:.2f}"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="18" font-size="14">{title}</text>']
    if percent:  # the report's goal
        out.append(f'<rect x="{left}" y="{y(0.0025):.1f}" width="{width - left - 20}" height="{y(-0.0025) - y(0.0025):.1f}" fill="#e8f0e8"/>')
    for i in range(6):
        value = low + (high - low) * i / 5
        step = first + (last - first) * i / 5
        out.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 4}" y="{y(value) + 4:.1f}" text-anchor="end">{text(value)}</text>'
                   f'<text x="{x(step):.1f}" y="{height - 18}" text-anchor="middle">{step:.0f}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        stride = max(1, len(curve) // 700)
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in list(curve.items())[::stride])
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.2"/>'
                   f'<text x="{left + 80 * i}" y="{height - 3}" fill="{COLOURS[i]}">{name}</text>')
    path.write_text("\n".join(out) + "\n</svg>\n")


def report(arguments):
    runs = {name: Run(arguments.out, name) for name in VARIANTS if Run(arguments.out, name).rows()}
    if "bf16" not in runs:
        return print("nothing to compare yet: bf16 has not begun")
    loss = {name: run.curve("loss") for name, run in runs.items()}
    violation = {name: run.curve("max_violation") for name, run in runs.items()}
    compared = {name: relative(curve, loss["bf16"]) for name, curve in loss.items()}
    for file, (title, names, quantity) in PICTURES.items():
        curves = {"relative": compared, "loss": loss, "violation": violation}[quantity]
        draw(arguments.out / file, title, {name: curves[name] for name in names if name in curves}, quantity == "relative")
    lines = ["| run | steps | loss, EMA 0.9 | against bf16: mean of the last 500 | largest after step 200 | validation loss | max violation, last 500 | s a step |",
             "|--|--|--|--|--|--|--|--|"]
    for name, run in runs.items():
        rows = [row for row in run.rows() if row["step"] > 0]
        checked = [row["validation_loss"] for row in rows if "validation_loss" in row]
        differences = list(compared[name].values())
        tail = differences[-500:]
        cells = [VARIANTS[name][1], len(rows), f"{list(loss[name].values())[-1]:.4f}",
                 f"{100 * sum(tail) / len(tail):+.3f} %" if tail else "", f"{100 * max(map(abs, differences)):.3f} %" if tail else "",
                 f"{checked[-1]:.4f}" if checked else "",
                 f"{sum(row['max_violation'] for row in rows[-500:]) / len(rows[-500:]):.2f}",
                 f"{sorted(row['step_seconds'] for row in rows)[len(rows) // 2]:.3f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hadal", help="the binary")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/fp8_study"), help="where corpus, runs and pictures lie")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="which, in this order (all)")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="for every run, as hadal train's")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; the results are the same")
    parser.add_argument("--threads", type=int, default=0, help="threads of each run (all)")
    parser.add_argument("--corpus-percent", type=int, default=100, help="size of the corpus; smaller for a trial")
    parser.add_argument("--report", action="store_true", help="draw what there is, and train nothing")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    complete = True
    if not arguments.report:
        if not (arguments.out / "corpus").exists():
            subprocess.run(["tools/demo_corpus.sh", arguments.hadal, arguments.out / "corpus", str(arguments.corpus_percent)], check=True)
        complete = train(arguments)
    report(arguments)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
