#!/usr/bin/env bash
# Runs an experiment on a cluster of GKE with TPUs, Kueue and JobSet.
#
#   gke.sh image     # builds --image=REGION-docker.pkg.dev/P/R/speccascade
#   gke.sh submit -- experiments/sweep.py --config=… --workdir=gs://…
#   gke.sh status
#   gke.sh logs
#   gke.sh cancel
#   gke.sh fetch     # copies --workdir=gs://… to --to=FOLDER
#
# --with=gcluster submits through Cluster Toolkit, --with=xpk through XPK, each
# to a cluster of its own kind. The queue starts a run again that ends with 143,
# as by SIGTERM, or with 137, where it was killed, at most --restarts times; of
# several hosts also with 134, where another one was lost.
#
# Settings are flags or variables (--zone=Z or TPU_ZONE=Z): with, name, project,
# zone (of gcluster the region, where the cluster is of one) and cluster, type
# (v5litepod-8, v6e-4, …; v5p-8 has four chips of XPK, which counts cores, and
# eight of gcluster, which counts chips), image, restarts, grace (seconds from
# SIGTERM to SIGKILL), account (of Kubernetes; gcluster alone), spot and
# reservation (where node pools are made on demand), workdir, to, estimate
# (flags of experiments/estimate_tpu.py, with quotes where one has a blank).
# --dry_run prints every command and runs none.
set -euo pipefail
declare -A tpu=(
  [with]=gcluster [name]='' [project]='' [zone]='' [cluster]='' [type]=''
  [image]='' [restarts]=20 [grace]=60 [account]='' [spot]='' [reservation]=''
  [workdir]='' [to]='' [estimate]='' [dry_run]=''
)
# shellcheck source=scripts/tpu/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

restarted=137,143

# The image of this commit.
tagged() {
  echo "${tpu[image]}:$(git rev-parse --short=12 HEAD)"
}

# What the container runs: the process itself, which then hears SIGTERM.
in_container() {
  echo "exec .venv/bin/python $(quoted "${command[@]}")"
}

image() {
  need image
  make_tree
  call cp scripts/tpu/Dockerfile build/tpu/Dockerfile
  call gcloud builds submit build/tpu "--tag=$(tagged)" \
    ${tpu[project]:+"--project=${tpu[project]}"}
}

check_hosts() {
  local devices=${tpu[type]##*-} one='1 2 4 8'
  check_type '[1-9][0-9]*(x[1-9][0-9]*){0,2}'
  # XPK makes two hosts of eight chips in a plane; 2x2x1 counts chips.
  case ${tpu[with]}-${tpu[type]} in
    gcluster-tpu7x-*)
      die "--type=${tpu[type]} goes with --with=xpk: gcluster asks for a" \
        'topology of it, which this script does not give' ;;
    gcluster-v5p-*) one='1 2 4' ;;  # It counts chips; XPK counts cores.
    xpk-v5litepod-* | xpk-v6e-*) one='1 4' ;;
  esac
  [[ $devices != *x* ]] || one='1 4' devices=$((${devices//x/*}))
  [[ " $one " == *" $devices "* ]] && return
  check_joins
  restarted=134,$restarted  # JAX ends a process so whose job another one left.
}

submit_gcluster() {
  local more=()
  [[ -z ${tpu[account]} ]] || more+=("--service-account=${tpu[account]}")
  [[ -z ${tpu[spot]} ]] || more+=(--gke-nap-provisioning=spot)
  [[ -z ${tpu[reservation]} ]] \
    || more+=(--gke-nap-provisioning=reservation
      "--gke-nap-reservation=${tpu[reservation]}")
  ((${#tpu[name]} <= 28)) || die "--name=${tpu[name]} has over 28 characters"
  call gcluster job submit "${place[@]}" "--name=${tpu[name]}" \
    "--image=$(tagged)" "--compute-type=${tpu[type]}" \
    "--restarts=${tpu[restarts]}" "--restart-on-exit-codes=$restarted" \
    "--grace-period=${tpu[grace]}s" "${more[@]}" "--command=$(in_container)"
}

# 137 and 143 are among those that XPK restarts on anyway.
submit_xpk() {
  local more=()
  [[ -z ${tpu[spot]} ]] || more+=(--spot)
  [[ -z ${tpu[reservation]} ]] \
    || more+=("--reservation=${tpu[reservation]}")
  call xpk workload create "${place[@]}" "--workload=${tpu[name]}" \
    "--docker-image=$(tagged)" "--tpu-type=${tpu[type]}" --num-slices=1 \
    "--max-restarts=${tpu[restarts]}" "--restart-on-exit-codes=$restarted" \
    "--termination-grace-period-seconds=${tpu[grace]}" "${more[@]}" \
    "--command=$(in_container)"
}

submit() {
  need name type image
  check_command
  check_hosts
  check_commit
  [[ -z ${tpu[spot]} || -z ${tpu[reservation]} ]] \
    || die '--spot and --reservation exclude each other'
  [[ ${tpu[with]}-${tpu[account]} != xpk-?* ]] || die '--account goes with' \
    '--with=gcluster: xpk workload create takes none; leave it out'
  estimate
  "submit_${tpu[with]}"
}

status() {
  need name
  case ${tpu[with]} in
    gcluster)
      call gcluster job list "${place[@]}" "--name-contains=${tpu[name]}" ;;
    xpk)
      call xpk workload list "${place[@]}" "--filter-by-job=${tpu[name]}" ;;
  esac
}

# XPK has no command for logs. Its clusters are of a region, and its slices have
# at most 144 cubes of 16 hosts.
logs() {
  local region=${tpu[zone]}
  need name
  if [[ ${tpu[with]} == gcluster ]]; then
    call gcluster job logs "${tpu[name]}" --follow "${place[@]}"
    return
  fi
  [[ $region != *-*-* ]] || region=${region%-*}
  call gcloud container clusters get-credentials "${tpu[cluster]}" \
    "--location=$region" "--project=${tpu[project]}"
  call kubectl logs --follow --prefix --max-log-requests=2304 \
    "--selector=xpk.google.com/workload=${tpu[name]}"
}

cancel() {
  need name
  case ${tpu[with]} in
    gcluster) call gcluster job cancel "${tpu[name]}" "${place[@]}" ;;
    xpk) call xpk workload delete "${place[@]}" "--workload=${tpu[name]}" ;;
  esac
}

todo=${1-}
case $todo in
  image | submit | status | logs | cancel | fetch) shift ;;
  *) usage "$todo" ;;
esac
read_settings "$@"
show_settings
case $todo in
  image | fetch) ;;
  *) need project zone cluster ;;
esac
case ${tpu[with]} in
  gcluster) place=("--location=${tpu[zone]}") ;;
  xpk) place=("--zone=${tpu[zone]}") ;;
  *) die "--with=${tpu[with]} must be gcluster or xpk" ;;
esac
place+=("--project=${tpu[project]}" "--cluster=${tpu[cluster]}")
case $todo-${tpu[with]} in
  image-* | fetch-*) installed gcloud ;;
  logs-xpk) installed gcloud kubectl ;;
  *) installed "${tpu[with]}" ;;
esac
$todo
