#!/usr/bin/env bash
# Whether tests/chat/golden.json is what Python's Jinja2 makes of the templates there. A virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=build/venv-templates
if [ ! -x "$environment/bin/python" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install -q "jinja2>=3.1"
fi
"$environment/bin/python" tests/chat/make_goldens.py --check
echo "tests/chat/golden.json is as Jinja2 has it"
