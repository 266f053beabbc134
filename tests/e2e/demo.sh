#!/usr/bin/env bash
# The demo at a hundredth of its length, end to end on the built binary: every step must run, and the loss must fall.
#     tests/e2e/demo.sh HADAL
set -euo pipefail
cd "$(dirname "$0")/../.."
hadal=$(realpath "$1")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
tools/demo.sh "$hadal" "$out/demo" 60 4 > "$out/log" 2>&1 || { cat "$out/log"; exit 1; }
python3 - "$out" << 'PYTHON'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
lines = [json.loads(line) for line in (out / "demo/train/metrics.jsonl").read_text().splitlines()]
rows = [line for line in lines if line["step"] > 0]  # step 0: the untrained model
losses = [row["loss"] for row in rows]
assert len(losses) == 60, len(losses)
assert losses[-1] < losses[0] - 1.5, (losses[0], losses[-1])
log = (out / "log").read_text()
assert "text identical without speculation: True" in log, log[-2000:]
for name in ("model.safetensors", "config.json", "tokenizer.json"):
    assert (out / "demo/train/model" / name).exists(), name
assert (out / "demo/train/loss.svg").read_text().startswith("<svg") or "<svg" in (out / "demo/train/loss.svg").read_text()
print(f"demo: loss {losses[0]:.2f} to {losses[-1]:.2f} in 60 steps")
PYTHON
