#!/usr/bin/env bash
# The faults that a trainer must survive and one machine can show, on the built program: each line it prints is one fault.
#     tests/e2e/faults.sh HADAL
set -euo pipefail
exec python3 "$(dirname "$0")/faults.py" "$1"
