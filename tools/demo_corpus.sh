#!/bin/sh
# The text of the demo, from nothing but this machine: C and C++ headers, licences and notes where they are installed,
# and generated stories and tasks; then a tokenizer trained on it, and packed training and validation sets.
#
#   tools/demo_corpus.sh HADAL OUT [PERCENT]
#
# HADAL is the binary, OUT a new folder, PERCENT the size (100: about 25 MB of text, half a minute on four cores).
# In OUT: local.jsonl, tasks.jsonl, evaluation.jsonl (held-out prompts), tokenizer/, packed/.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
hadal=$1
out=$2
percent=${3:-100}

if [ -e "$out" ]; then
    echo "error: output folder exists: $out (remove it or choose another)" >&2
    exit 2
fi
# Made under another name: after an interruption there is no half corpus that a later run would take for whole.
work=$out.tmp-$$
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work"

share() { echo $(($1 * percent / 100 + 1)); }

# Containers leave out documentation, so every folder is optional; headers come with the compiler.
sources=""
for entry in \
    "headers|/usr/include|.h,.hpp|9000000" \
    "notes|/usr/share/doc|copyright,README,README.md,README.Debian,.txt|2500000" \
    "licences|/usr/share/common-licenses||400000"; do
    name=${entry%%|*}; rest=${entry#*|}
    folder=${rest%%|*}; rest=${rest#*|}
    match=${rest%%|*}; bytes=${rest#*|}
    [ -d "$folder" ] || continue
    sources="$sources --source $name=$folder --limit $name=$(share "$bytes")"
    [ -z "$match" ] || sources="$sources --match $name=$match"
done

local_text=""
# shellcheck disable=SC2086  # the words of $sources are options
if [ -n "$sources" ] && "$hadal" data collect $sources --max-bytes 60000 --out "$work/local.jsonl"; then
    local_text="$work/local.jsonl"
fi
"$hadal" data synth --seed 1 --out "$work/tasks.jsonl" \
    --task story="$(share 12000)" --task arithmetic="$(share 20000)" --task addition="$(share 160000)" \
    --task recall="$(share 10000)" --task copy="$(share 10000)" \
    --evaluation "$work/evaluation.jsonl" --evaluation-count 100

# shellcheck disable=SC2086  # empty or one word
"$hadal" tokenizer train $local_text "$work/tasks.jsonl" --vocab-size 4096 --out "$work/tokenizer"
# shellcheck disable=SC2086
"$hadal" data pack $local_text "$work/tasks.jsonl" --tokenizer "$work/tokenizer" --seed 1 \
    --validation-every 20 --out "$work/packed"
mv "$work" "$out"
trap - EXIT
