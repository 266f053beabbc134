#!/usr/bin/env bash
# Makes the virtual environment of the comparisons with PyTorch and Transformers (.venv-hf, about 1 GB) unless it is there, and
# prints its Python.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -e .venv-hf/complete ]; then
    python3 -m venv .venv-hf >&2 || { echo "error: python3 lacks venv (apt-get install python3-venv)" >&2; exit 1; }
    .venv-hf/bin/pip install -q torch==2.13.0 transformers==5.23.0 safetensors tokenizers numpy >&2
    touch .venv-hf/complete
fi
echo "$PWD/.venv-hf/bin/python"
