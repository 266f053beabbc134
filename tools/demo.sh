#!/usr/bin/env bash
# The demo: from the text of this machine to a trained V3-architecture model that talks.
#     tools/demo.sh HADAL [OUT] [STEPS] [CORPUS_PERCENT]
# OUT (default runs/demo) is made anew. STEPS and CORPUS_PERCENT make it shorter; the smoke test uses them.
set -euo pipefail
cd "$(dirname "$0")/.."
hadal=$1
out=${2:-runs/demo}
steps=${3:-}
percent=${4:-100}
model=$out/train/model
begin=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
field() { python3 -c 'import json,sys; print(json.loads(sys.stdin.read().strip().splitlines()[-1])[sys.argv[1]])' "$1"; }

rm -rf "$out"
mkdir -p "$out"

say "1. Text of this machine and generated tasks; a tokenizer trained on them; packed ids"
tools/demo_corpus.sh "$hadal" "$out/corpus" "$percent"

say "2. Training"
settings=(--set "run.out=$out/train" --set "data.corpus=$out/corpus/packed" --set "data.tokenizer=$out/corpus/tokenizer")
[ -z "$steps" ] || settings+=(--set "run.steps=$steps" --set "learning_rate.warmup_steps=$((steps / 20 + 1))"
    --set "validation.every=$((steps / 4 + 1))" --set "snapshot.every=$((steps / 2 + 1))")
"$hadal" train recipes/demo.toml "${settings[@]}"

# The same model before training, for comparison.
"$hadal" init --config "$model/config.json" --out "$out/untrained" --seed 1 > /dev/null
cp "$model/tokenizer.json" "$model/tokenizer_config.json" "$out/untrained/"

sample() { # title, options…
    local title=$1
    shift
    say "$title"
    echo "--- before training"
    "$hadal" generate "$out/untrained" -n 24 "$@" 2> /dev/null | head -n 4 | cut -c1-160
    echo "--- after"
    "$hadal" generate "$model" -n 90 "$@"
}
say "3. What it writes (greedy)"
sample "A story" -p "Once upon a time, there was a little"
sample "A C declaration" -p $'/* Returns the number of bytes'
sample "Fill in the middle: the text between 'One day, ' and ' She was very happy.'" --special \
    -p "<｜fim▁begin｜>One day, <｜fim▁hole｜> She was very happy.<｜fim▁end｜>"

say "4. Exact match on tasks that were held out"
"$hadal" eval "$model" --data "$out/corpus/evaluation.jsonl"

say "5. Speculation with the MTP module"
"$hadal" generate "$model" -p "Once upon a time, there was a" -n 200 --speculate always:1 --json > "$out/speculated.json"
"$hadal" generate "$model" -p "Once upon a time, there was a" -n 200 --speculate off --json > "$out/plain.json"
python3 - "$out" << 'PYTHON'
import json, sys
out = sys.argv[1]
a, b = (json.loads(open(f"{out}/{name}.json").read()) for name in ("speculated", "plain"))
share = a["accepted_tokens"] / max(a["draft_tokens"], 1)
print(f"drafts accepted: {a['accepted_tokens']} of {a['draft_tokens']} ({share:.0%}); text identical without speculation: {a['tokens'] == b['tokens']}")
print(f"tokens/s with {a['decode_tokens_per_second']:.0f}, without {b['decode_tokens_per_second']:.0f}")
PYTHON

say "6. What it learned"
python3 - "$out" << 'PYTHON'
import json, sys
out = sys.argv[1]
rows = [json.loads(line) for line in open(f"{out}/train/metrics.jsonl")]
steps = [row for row in rows if row["step"] > 0]  # row 0: the untrained model's validation
checked = [row for row in rows if "validation_loss" in row]
ratio = lambda key, seq: f"{seq[0][key]:.3f} → {seq[-1][key]:.3f}"
if checked:
    print("validation loss (nats per token):", ratio("validation_loss", checked))
    if "bits_per_byte" in checked[0]:
        print("validation bits per byte:        ", ratio("bits_per_byte", checked))
print("MTP loss (training):             ", ratio("mtp_loss", steps))
if checked and "validation_max_violation" in checked[0]:
    print("expert balance, max violation over the validation text:", ratio("validation_max_violation", checked))
tail = steps[-max(1, len(steps) // 20):]
print(f"expert balance, max violation:    {steps[0]['max_violation']:.2f} → {sum(r['max_violation'] for r in tail) / len(tail):.2f} (mean of the last {len(tail)} steps)")
PYTHON
echo "pictures: $out/train/loss.svg $(ls "$out"/train/*.svg | grep -v loss.svg | tr '\n' ' ')"
echo "time: $((SECONDS - begin)) s"
say "Talk to it:  $hadal chat $model --plain --temperature 0.7"
