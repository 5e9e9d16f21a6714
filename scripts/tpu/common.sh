# shellcheck shell=bash
# Sourced by the scripts beside it: settings, and commands that may be dry.
#
# A setting is a flag, --zone=Z, or a variable of the environment, TPU_ZONE; the
# script that sources this has the defaults in `tpu`.
declare -A tpu  # Settings.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
command=()  # What follows --: an experiment with its flags.

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The comment at the head of the script.
usage() {
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "scripts/tpu/${0##*/}"
}

# read_settings FLAG...
read_settings() {
  local key variable
  for key in "${!tpu[@]}"; do
    variable=TPU_${key^^}
    [[ -n ${!variable-} ]] && tpu["$key"]=${!variable}
  done
  while (($#)); do
    case $1 in
      --)
        shift
        command=("$@")
        break
        ;;
      --spot | --dry_run) tpu[${1#--}]=yes ;;
      --*=*)
        key=${1%%=*} key=${key#--}
        [[ -v tpu[$key] ]] || die "unknown flag --$key; see ${0##*/} help"
        tpu["$key"]=${1#*=}
        ;;
      *) die "unexpected argument $1; an experiment comes after --" ;;
    esac
    shift
  done
}

# need SETTING...: dies unless each is set.
need() {
  local key
  for key in "$@"; do
    [[ -n ${tpu[$key]} ]] || die "--$key=… (or TPU_${key^^}) is missing"
  done
}

show_settings() {
  local key
  for key in $(printf '%s\n' "${!tpu[@]}" | sort); do
    [[ -n ${tpu[$key]} ]] && echo "# $key: ${tpu[$key]}" >&2
  done
  return 0
}

# Words as a shell reads them; plain words stay plain.
quoted() {
  local word line=''
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_.,:/=@%+-]+$ ]]; then
      line+="$word "
    elif [[ $word =~ ^(--[A-Za-z0-9_.-]+=)(.*)$ ]]; then
      line+="${BASH_REMATCH[1]}${BASH_REMATCH[2]@Q} "
    else
      line+="${word@Q} "
    fi
  done
  echo "${line% }"
}

# Runs a command, or prints it in a dry run.
call() {
  if [[ -n ${tpu[dry_run]} ]]; then
    quoted "$@"
  else
    "$@"
  fi
}

# The value of a flag of the experiment.
of_command() {
  local word
  for word in "${command[@]}"; do
    [[ $word == "--$1="* ]] && echo "${word#*=}" && return
  done
  return 0
}

# Dies unless what follows -- is an experiment that can resume elsewhere.
check_command() {
  local file=${command[0]-}
  [[ -n $file ]] || die 'an experiment comes after --, such as' \
    '-- experiments/sweep.py --config=configs/table2.py --workdir=gs://…'
  [[ -f $file ]] || die "there is no $file in $PWD"
  [[ $(of_command workdir) == gs://* ]] || die 'the experiment needs' \
    '--workdir=gs://…: what lies on a TPU goes with it'
}

# A process on each of several hosts must join the others.
check_joins() {
  case " ${command[*]} " in
    *' --distributed '*) ;;
    *) die "${tpu[type]} has several hosts: give ${command[0]} --distributed" \
      'and a --config.mesh of all chips, or take a smaller --type' ;;
  esac
}

# Prints the estimate that --estimate asks for.
estimate() {
  local flags
  [[ -n ${tpu[estimate]} ]] || return 0
  read -r -d '' -a flags <<<"${tpu[estimate]}" || :  # Of several lines.
  PYTHONPATH=. "${SPECCASCADE_VENV:-.venv}/bin/python" \
    experiments/estimate_tpu.py "${flags[@]}"
}

# Dies unless what runs would be a commit, which records tell.
check_commit() {
  git diff --quiet HEAD -- \
    || die "$PWD has changes that are not committed; commit what is to run"
}

# Packs this commit as a clone: build/tpu/tree.tar.gz.
make_tree() {
  check_commit
  call rm -rf build/tpu
  call git clone --quiet --depth=1 "file://$PWD" build/tpu/speccascade
  call tar -czf build/tpu/tree.tar.gz -C build/tpu speccascade
  call rm -rf build/tpu/speccascade
}

fetch() {
  need workdir to
  call mkdir -p "${tpu[to]}"
  call gcloud storage rsync "${tpu[workdir]}" "${tpu[to]}" --recursive
}
