#!/usr/bin/env bash
# Runs an experiment on a TPU of Google Cloud that a queue gives.
#
#   queued.sh create    # asks for the TPU, after --estimate
#   queued.sh wait      # until it is ACTIVE
#   queued.sh install   # this commit and its environment, on all workers
#   queued.sh run -- experiments/sweep.py --config=… --workdir=gs://…
#   queued.sh status    # none, running, lost or the exit code of each worker
#   queued.sh logs      # follows those of the first worker
#   queued.sh fetch     # copies --workdir=gs://… to --to=FOLDER
#   queued.sh delete    # ends the TPU, and what it costs
#   queued.sh all -- experiments/sweep.py --config=… --workdir=gs://…
#
# `all` does all of these, again after each preemption, and deletes the TPU
# whatever the run ended with. Started again, it takes up what is there.
#
# Settings are flags or variables (--zone=Z or TPU_ZONE=Z): name, project, zone,
# type (v5litepod-8, v6e-8, v5p-8, …), runtime (by type), spot, reservation,
# service_account, extras (of setup.py), workdir, to, estimate (flags of
# experiments/estimate_tpu.py), poll (seconds). --dry_run prints every command
# and runs none.
set -euo pipefail
declare -A tpu=(
  [name]='' [project]='' [zone]='' [type]='' [runtime]='' [spot]=''
  [reservation]='' [service_account]='' [extras]='tpu,hub,datasets' [workdir]=''
  [to]='' [estimate]='' [poll]=30 [dry_run]=''
)
# shellcheck source=scripts/tpu/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preemptions=50  # That `all` outlasts.

in_zone() {
  echo "--zone=${tpu[zone]}"
  [[ -z ${tpu[project]} ]] || echo "--project=${tpu[project]}"
}

runtime() {
  case ${tpu[type]} in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    v4-*) echo tpu-ubuntu2204-base ;;
    *) die "no runtime is known of --type=${tpu[type]}; give --runtime, or" \
      'use gke.sh for what queues do not give, as tpu7x' ;;
  esac
}

create() {
  need name zone type
  local version=${tpu[runtime]} track=() tier=()
  [[ -n $version ]] || version=$(runtime) || exit
  [[ -z ${tpu[spot]} || -z ${tpu[reservation]} ]] \
    || die '--spot and --reservation exclude each other'
  [[ -z ${tpu[spot]} ]] || tier=(--spot)
  # Only the alpha track takes a reservation by its name.
  [[ -z ${tpu[reservation]} ]] \
    || track=(alpha) tier=("--reservation=${tpu[reservation]}")
  [[ -z ${tpu[service_account]} ]] \
    || tier+=("--service-account=${tpu[service_account]}" \
      --scopes=cloud-platform)
  estimate || exit
  call gcloud "${track[@]}" compute tpus queued-resources create \
    "${tpu[name]}" "--node-id=${tpu[name]}" "${zone[@]}" \
    "--accelerator-type=${tpu[type]}" "--runtime-version=$version" \
    "${tier[@]}" \
    || die "the queue refused ${tpu[name]}; docs/tpu.md tells of quota"
}

# Empty where there is no such resource.
state() {
  call gcloud compute tpus queued-resources describe "${tpu[name]}" \
    "${zone[@]}" '--format=value(state.state)'
}

# Returns 1 where the TPU was taken back before it was there.
await() {
  need name zone
  local now
  [[ -z ${tpu[dry_run]} ]] || { state && return; }
  while :; do
    now=$(state) || die "there is no ${tpu[name]} in ${tpu[zone]}; create it"
    echo "# ${tpu[name]} is $now" >&2
    case $now in
      ACTIVE) return ;;
      SUSPENDING | SUSPENDED) return 1 ;;
      FAILED | DELETING) die "${tpu[name]} is $now; gcloud compute tpus" \
        "queued-resources describe ${tpu[name]} ${zone[*]} tells why; delete" \
        'it and create another' ;;
    esac
    sleep "${tpu[poll]}"
  done
}

on_workers() {
  call gcloud compute tpus tpu-vm ssh "${tpu[name]}" "${zone[@]}" \
    --worker=all --quiet "--command=$1"
}

install() {
  need name zone
  make_tree
  call gcloud compute tpus tpu-vm scp build/tpu/tree.tar.gz "${tpu[name]}:" \
    "${zone[@]}" --worker=all --quiet
  on_workers "tar -xzf tree.tar.gz && $worker install ${tpu[extras]}"
}

check_hosts() {
  local devices=${tpu[type]##*-}
  ((${devices:-0} <= 8)) || check_joins
}

run() {
  need name zone
  check_command
  check_hosts
  on_workers "$worker start $(quoted "${command[@]}")"
}

status() {
  need name zone
  on_workers "$worker status"
}

# logs [FLAGS of tail [WORKER]]
logs() {
  need name zone
  call gcloud compute tpus tpu-vm ssh "${tpu[name]}" "${zone[@]}" \
    "--worker=${2:-0}" --quiet "--command=tail -n 50 ${1--F} run/log"
}

delete() {
  need name zone
  call gcloud compute tpus queued-resources delete "${tpu[name]}" \
    "${zone[@]}" --force --quiet
}

# Sets `ended` to what the workers ended with; returns 1 after a preemption.
watch() {
  local now
  while :; do
    sleep "${tpu[poll]}"
    case $(state) in SUSPENDING | SUSPENDED) return 1 ;; esac
    now=$(status | sort -nu) || now=unreachable
    echo "# ${tpu[name]}: ${now//$'\n'/, }" >&2
    case $now in
      '' | *running* | *unreachable*) ;;
      *none* | *lost*) run || : ;;  # The machine was restarted.
      *) ended=${now##*$'\n'} && return ;;
    esac
  done
}

# From the queue to the end of the run; returns 1 after a preemption.
attempt() {
  case $(state 2>/dev/null) in
    '') create ;;
    SUSPENDING | SUSPENDED) delete && create ;;
  esac
  await || return 1
  if ! status 2>/dev/null | grep -q running; then
    if ! { install && run; }; then
      await || return 1
      ended='an install that failed' && return
    fi
  fi
  watch
}

all() {
  need name zone type to
  check_command
  check_hosts
  check_commit
  tpu[workdir]=$(of_command workdir)
  local ended='' n
  if [[ -n ${tpu[dry_run]} ]]; then
    create && await && install && run && status && fetch && delete
    return
  fi
  for ((n = 0; n < preemptions; n++)); do
    attempt && break
    echo "# ${tpu[name]} was preempted; it is asked for again" >&2
    sleep "${tpu[poll]}"
  done
  [[ $ended == 0 ]] || logs '' all || :
  fetch || echo '# nothing was fetched' >&2
  delete
  [[ $ended == 0 ]] || die "${command[0]} ended with ${ended:-preemptions};" \
    'the same command goes on'
}

worker=speccascade/scripts/tpu/worker.sh
todo=${1-}
case $todo in
  create | install | run | status | logs | fetch | delete | all) ;;
  wait) todo=await ;;
  *) usage && exit 1 ;;
esac
shift
read_settings "$@"
mapfile -t zone < <(in_zone)
show_settings
$todo
