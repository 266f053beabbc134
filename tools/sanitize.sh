#!/usr/bin/env bash
# Builds test programs under a sanitizer and runs them.
#     tools/sanitize.sh asan|tsan FOLDER …
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
cmake --preset "$preset" > /dev/null
targets=$(cmake --build --preset "$preset" --target help | sed -n 's/^\(test_[a-z]*\):.*/\1/p')
wanted=()
for folder in "$@"; do
    grep -qx "test_$folder" <<< "$targets" && wanted+=("test_$folder")
done
cmake --build --preset "$preset" -j "$(tools/jobs.sh)" --target "${wanted[@]}"
pattern=$(IFS='|'; echo "^(${wanted[*]#test_})\$")
cd "build/$preset" && ctest --output-on-failure -R "$pattern"
