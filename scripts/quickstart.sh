#!/usr/bin/env bash
# Makes a virtual environment, installs into it, then sweeps the deferral
# rules over the shipped pair: a table, two figures and the records behind them.
#
#   scripts/quickstart.sh
#
# scripts/install.sh says what can be set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source scripts/install.sh

workdir=results/quickstart
"$venv/bin/python" experiments/sweep.py --config=configs/quickstart.py \
  --workdir="$workdir"

echo
echo "Report:  $workdir/report.html"
echo "Table:   $workdir/report.md"
printf 'Figure:  %s\n' "$workdir"/*.png
echo "Records: $workdir/records.jsonl"
