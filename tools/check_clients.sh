#!/usr/bin/env bash
# Asks `hadal serve` by the clients that people use: OpenAI's and Anthropic's libraries, LiteLLM, lm-eval, curl. In a virtual environment of its own
# (.venv-clients, about 1 GB).
#     tools/check_clients.sh HADAL
set -euo pipefail
cd "$(dirname "$0")/.."
hadal=$(realpath "$1")
if [ ! -e .venv-clients/complete ]; then
    python3 -m venv .venv-clients >&2 || { echo "error: python3 lacks venv (apt-get install python3-venv)" >&2; exit 1; }
    .venv-clients/bin/pip install -q openai==2.54.0 anthropic==2.12.0 litellm==1.106.2 "lm-eval[api]==0.4.13" >&2
    touch .venv-clients/complete
fi
exec .venv-clients/bin/python tools/check_clients.py --hadal "$hadal"
