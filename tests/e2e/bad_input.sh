#!/usr/bin/env bash
# Bad input, on the built program: each line of bad_input.txt must end in one line of error and its exit status, and leave nothing
# behind.
#     tests/e2e/bad_input.sh HADAL
set -euo pipefail
exec python3 "$(dirname "$0")/bad_input.py" "$1"
