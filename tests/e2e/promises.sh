#!/usr/bin/env bash
# What the command line promises, on the built program: every help text's example runs, --json is JSON and nothing else, bytes that are
# no UTF-8 come back, scores equal the reference's, full disks and kills lose nothing.
#     tests/e2e/promises.sh HADAL
set -euo pipefail
exec python3 "$(dirname "$0")/promises.py" "$1"
