#!/usr/bin/env bash
# Compares hadal with PyTorch and Transformers, in a virtual environment of its own (.venv-hf, about 1 GB).
#     tools/check_hf.sh HADAL [MODEL_DIRECTORY]
set -euo pipefail
hadal=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
if [ ! -e .venv-hf/complete ]; then
    python3 -m venv .venv-hf || { echo "error: python3 lacks venv (apt-get install python3-venv)" >&2; exit 1; }
    .venv-hf/bin/pip install -q torch==2.13.0 transformers==5.23.0 safetensors tokenizers numpy
    touch .venv-hf/complete
fi
exec .venv-hf/bin/python tools/check_hf.py --hadal "$hadal" "$@"
