#!/usr/bin/env bash
# Bad batches, spikes, divergence, starving experts, too little memory, and the views of a run, on the built program: each
# line it prints is one of them.
#     tests/e2e/guard.sh HADAL
set -euo pipefail
exec python3 "$(dirname "$0")/guard.py" "$1"
