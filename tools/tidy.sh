#!/usr/bin/env bash
# clang-tidy over the sources that differ from a commit (default: origin/main if there is one, else the last commit); `all` takes
# every source. What it finds is an error.
#     tools/tidy.sh [COMMIT|all]
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:-$(git rev-parse --verify -q origin/main || git rev-parse HEAD~1)}
cmake --preset debug -DCMAKE_CXX_COMPILER=clang++-19 -B build/tidy > /dev/null
if [ "$base" = all ]; then
    files=$(git ls-files 'src/*.cpp')
else
    files=$({ git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } | grep -E '^src/.*\.cpp$' | sort -u || true)
fi
[ -n "$files" ] || { echo "no source differs"; exit 0; }
xargs -P "$(tools/jobs.sh)" -n 1 clang-tidy-19 -p build/tidy --quiet --warnings-as-errors='*' <<< "$files"
