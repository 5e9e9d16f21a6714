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
# experiments/estimate_tpu.py, with quotes where one has a blank), poll
# (seconds). --dry_run prints every command and runs none.
set -euo pipefail
declare -A tpu=(
  [name]='' [project]='' [zone]='' [type]='' [runtime]='' [spot]=''
  [reservation]='' [service_account]='' [extras]='tpu,hub,datasets' [workdir]=''
  [to]='' [estimate]='' [poll]=30 [dry_run]=''
)
# shellcheck source=scripts/tpu/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preemptions=50  # That `all` outlasts.
number='[1-9][0-9]*'  # That a type ends in.
# Fields of a queued resource.
state=state.state
type='tpu.nodeSpec[0].node.acceleratorType'

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
  check_type "$number"
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
    || die "${tpu[name]} was not asked for: gcloud tells why;" \
    'docs/tpu.md tells of quota'
}

# describe FIELD: what the queue tells, or NOT_FOUND where there is no such
# resource; fails where gcloud does, which says nothing of the resource.
describe() {
  local error
  { error=$(call gcloud compute tpus queued-resources describe "${tpu[name]}" \
    "${zone[@]}" "--format=value($1)" 2>&1 >&3 3>&-); } 3>&1 && return
  [[ $error == *NOT_FOUND* ]] && echo NOT_FOUND && return
  echo "$error" >&2
  return 1
}

# The same, asked for until gcloud tells.
asked() {
  until describe "$1"; do
    echo "# gcloud does not tell of ${tpu[name]}; it is asked again" >&2
    sleep "${tpu[poll]}"
  done
}

# check_state STATE: returns 1 where the TPU was taken back; dies where it is
# not to be had.
check_state() {
  case $1 in
    SUSPENDING | SUSPENDED) return 1 ;;
    NOT_FOUND) die "there is no ${tpu[name]} in ${tpu[zone]}; create it" ;;
    FAILED | DELETING) die "${tpu[name]} is $1; gcloud compute tpus" \
      "queued-resources describe ${tpu[name]} ${zone[*]} tells why; delete" \
      'it and create another' ;;
  esac
}

# Returns 1 where the TPU was taken back before it was there.
await() {
  need name zone
  local now=''
  [[ -z ${tpu[dry_run]} ]] || { describe "$state" && return; }
  while :; do
    now=$(asked "$state")
    echo "# ${tpu[name]} is $now" >&2
    check_state "$now" || return 1
    [[ $now != ACTIVE ]] || return 0
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

# Of several hosts each must join; the type that was created counts.
check_hosts() {
  local created=''
  [[ -z ${tpu[type]} ]] || check_type "$number"
  if [[ -n ${tpu[dry_run]} ]]; then
    describe "$type"
  else
    created=$(asked "$type")
  fi
  case $created in
    '' | NOT_FOUND | "${tpu[type]}") ;;
    *)
      echo "# ${tpu[name]} was created as $created" >&2
      tpu[type]=$created
      ;;
  esac
  [[ ! ${tpu[type]} =~ -($number)$ ]] || ((BASH_REMATCH[1] <= 8)) \
    || check_joins
}

start() {
  on_workers "$worker start $(quoted "${command[@]}")"
}

run() {
  need name zone
  check_command
  check_hosts
  start
}

status() {
  need name zone
  on_workers "if [ -e $worker ]; then $worker status; else echo none; fi"
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

# Sets `words` to what the workers say, each word once.
look() {
  words=$(status | sort -u) || words=unreachable  # One of them, at least.
  echo "# ${tpu[name]}: ${words//$'\n'/, }" >&2
}

# Sets `ended` where this fails on a TPU that is there; returns 1 after a
# preemption. What dies in it must not leave the TPU behind.
begin() {
  (install && start) && return
  await || return 1
  ended='an install that failed'
}

# Sets `ended` to what the workers ended with; returns 1 after a preemption.
watch() {
  local now
  while [[ -z $ended ]]; do
    sleep "${tpu[poll]}"
    now=$(describe "$state") || now=''  # The workers may tell all the same.
    check_state "$now" || return 1
    look
    case $words in
      *running*) ;;  # On one host, at least: the others wait or were lost.
      *none*) begin || return 1 ;;
      *lost*) start || : ;;  # The machine was restarted.
      '' | *[!0-9$'\n']*) ;;  # They cannot be reached.
      *) ended=${words//$'\n'/, } ;;
    esac
  done
}

# From the queue to the end of the run; returns 1 after a preemption.
attempt() {
  local now words=none  # Of a TPU that is new.
  now=$(asked "$state")
  case $now in
    NOT_FOUND) create ;;
    SUSPENDING | SUSPENDED) delete && create ;;
    *) words='' ;;
  esac
  await || return 1
  [[ -n $words ]] || look
  case $words in
    *running* | *unreachable*) ;;  # What cannot be reached may run.
    *) begin || return 1 ;;
  esac
  watch
}

all() {
  need name zone type to
  check_command
  check_commit
  check_hosts
  tpu[workdir]=$(of_command workdir)
  local ended='' n
  if [[ -n ${tpu[dry_run]} ]]; then
    create && await && install && start && status && fetch && delete
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
  *) usage "$todo" ;;
esac
shift
read_settings "$@"
[[ ${tpu[poll]} =~ ^[0-9]+([.][0-9]+)?$ ]] \
  || die "--poll=${tpu[poll]} must be a number of seconds"
installed gcloud
mapfile -t zone < <(in_zone)
show_settings
$todo
