#!/usr/bin/env bash
# Makes a virtual environment, installs into it, then lints and tests.
#
#   scripts/test.sh [pytest arguments]
#
# -m 'thorough and not large' runs further examples of what the tests show, -m
# large those that need gigabytes or minutes.
# scripts/install.sh says what can be set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source scripts/install.sh

"$venv/bin/python" -m ruff check
"$venv/bin/python" -m ruff format --check
# A file's tests share their compiled programs, so they stay in one process.
JAX_PLATFORMS=cpu "$venv/bin/python" -m pytest -q -n 2 --dist loadfile "$@"
