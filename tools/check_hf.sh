#!/usr/bin/env bash
# Compares hadal with PyTorch and Transformers, both ways.
#     tools/check_hf.sh HADAL [MODEL_DIRECTORY …]
set -euo pipefail
hadal=$(realpath "$1")
shift
python=$("$(dirname "$0")/venv_hf.sh")
exec "$python" "$(dirname "$0")/check_hf.py" --hadal "$hadal" "$@"
