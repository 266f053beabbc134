#!/usr/bin/env bash
# Builds the libFuzzer targets with address and undefined-behaviour sanitizers and runs each for SECONDS_EACH (default 60), as many
# at a time as there are processors. A finding is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}
cmake --preset fuzz > /dev/null
targets=$(cd tests/fuzz && ls ./*_fuzz.cpp | sed "s/.*\///;s/\.cpp//")
# shellcheck disable=SC2086
cmake --build --preset fuzz -j "$(tools/jobs.sh)" --target $targets
mkdir -p build/fuzz/logs
running=0
status=0
declare -A names
for target in build/fuzz/tests/fuzz/*_fuzz; do
    name=$(basename "$target")
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus"
    seeds=tests/fuzz/corpus/$name
    [ -d "$seeds" ] || seeds=""
    "$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -artifact_prefix="build/fuzz/logs/$name-" \
        "$corpus" $seeds > "build/fuzz/logs/$name.log" 2>&1 &
    names[$!]=$name
    running=$((running + 1))
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n -p done_pid || { status=1; echo "FAILED: ${names[$done_pid]}"; tail -20 "build/fuzz/logs/${names[$done_pid]}.log"; }
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n -p done_pid || { status=1; echo "FAILED: ${names[$done_pid]}"; tail -20 "build/fuzz/logs/${names[$done_pid]}.log"; }
    running=$((running - 1))
done
for log in build/fuzz/logs/*.log; do echo "$(basename "$log" .log): $(grep -c . "$log") lines, $(tail -1 "$log")"; done
exit $status
