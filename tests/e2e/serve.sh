#!/usr/bin/env bash
# `hadal serve` as a client sees it, over a real connection: the short form of `make check-clients`, with Python's own library.
#     tests/e2e/serve.sh HADAL
set -euo pipefail
exec python3 "$(dirname "$0")/serve.py" "$(realpath "$1")"
