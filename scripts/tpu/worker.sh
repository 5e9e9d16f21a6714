#!/usr/bin/env bash
# Runs on a TPU VM, or while the image is built, in a clone of this repository:
#
#   scripts/tpu/worker.sh install [EXTRAS]  # makes .venv
#   scripts/tpu/worker.sh start EXPERIMENT… # detached; logs to ../run/log
#   scripts/tpu/worker.sh status            # none, running, lost or the code
#
# A run that ends with 143, as by SIGTERM, is started again, at most 20 times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
run=$(cd .. && pwd)/run
restarted=143  # speccascade/runs/process.py: TERMINATED.

# Python and pip of the system may be too old.
install() {
  export PATH=$HOME/.local/bin:$PATH
  command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  uv venv --quiet --allow-existing --python=3.11 .venv
  # jax[tpu] names its own libtpu; the pinned one compiles without a TPU.
  uv pip install --quiet --python=.venv/bin/python --editable=".[${1:-tpu}]" \
    --constraints=<(grep -v '^libtpu==' constraints.txt)
}

start() {
  mkdir -p "$run"
  flock --nonblock "$run/lock" true || {
    echo 'worker.sh: a run goes on here; see its logs, or delete the TPU' >&2
    exit 1
  }
  rm -f "$run/code"
  setsid nohup flock "$run/lock" scripts/tpu/worker.sh loop "$@" \
    >>"$run/log" 2>&1 </dev/null &
  while [[ $(status) == lost ]]; do sleep 0.1; done  # Until it has the lock.
}

loop() {
  local code try
  for ((try = 1; try <= 20; try++)); do
    echo "worker.sh: try $try: $*"
    code=0
    PYTHONUNBUFFERED=1 .venv/bin/python "$@" || code=$?
    echo "worker.sh: ended with $code"
    ((code == restarted)) || break
  done
  echo "$code" >"$run/code.new"
  mv "$run/code.new" "$run/code"
}

# The lock tells more than a file: a machine may have been restarted.
status() {
  if [[ -f $run/code ]]; then
    cat "$run/code"
  elif [[ ! -f $run/lock ]]; then
    echo none
  elif flock --nonblock "$run/lock" true; then
    echo lost
  else
    echo running
  fi
}

case ${1-} in
  install | start | loop | status) "$@" ;;
  *)
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' scripts/tpu/worker.sh
    [[ ${1-} == help ]]
    ;;
esac
