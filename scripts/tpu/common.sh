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

# usage ASKED: prints the comment at the head of the script, and exits.
usage() {
  local head
  head=$(sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "scripts/tpu/${0##*/}")
  case $1 in help | -h | --help) echo "$head" && exit ;; esac
  echo "$head" >&2
  exit 1
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
  for key in spot dry_run; do
    case ${tpu[$key],,} in
      yes | true | 1) tpu["$key"]=yes ;;
      no | false | 0 | '') tpu["$key"]='' ;;
      *) die "--$key=${tpu[$key]} must be yes or no" ;;
    esac
  done
}

# installed PROGRAM...: dies unless each that would be called is there.
installed() {
  local program remedy
  [[ -z ${tpu[dry_run]} ]] || return 0
  for program in "$@"; do
    case $program in
      gcloud) remedy='see https://cloud.google.com/sdk/docs/install' ;;
      gcluster)
        remedy='see https://github.com/GoogleCloudPlatform/cluster-toolkit' ;;
      xpk) remedy='pip install xpk' ;;
      kubectl) remedy='gcloud components install kubectl' ;;
    esac
    command -v "$program" >/dev/null \
      || die "$program is not installed: $remedy"
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

# The value of a flag of the experiment, which takes the last one.
of_command() {
  local word value=''
  for word in "${command[@]}"; do
    [[ $word != "--$1="* ]] || value=${word#*=}
  done
  echo "$value"
}

# Dies unless what follows -- is an experiment that can resume elsewhere, and
# goes there with the commit.
check_command() {
  local file=${command[0]-} config
  [[ -n $file ]] || die 'an experiment comes after --, such as' \
    '-- experiments/sweep.py --config=configs/table2.py --workdir=gs://…'
  [[ -f $file ]] || die "there is no $file in $PWD"
  [[ $(of_command workdir) == gs://* ]] || die 'the experiment needs' \
    '--workdir=gs://…: what lies on a TPU goes with it'
  check_clone
  config=$(of_command config)
  for file in "$file" "${config%%:*}"; do
    [[ -z $file ]] || git cat-file -e "HEAD:./$file" 2>/dev/null \
      || die "$file is not in the commit; commit it, and name it from $PWD"
  done
}

# check_type SIZE: dies unless --type ends in a size, as a pattern tells.
check_type() {
  [[ ${tpu[type]} =~ ^[a-z0-9]+-$1$ ]] || die "--type=${tpu[type]} must be" \
    'a version and its number, such as v6e-8'
}

# A process on each of several hosts must join the others.
check_joins() {
  local word joins=''
  for word in "${command[@]}"; do  # As absl takes them: the last one counts.
    case $word in
      --distributed) joins=yes ;;
      --nodistributed) joins='' ;;
      --distributed=*)
        case ${word#*=} in
          [Tt][Rr][Uu][Ee] | [Tt] | 1) joins=yes ;;
          *) joins='' ;;
        esac
        ;;
    esac
  done
  [[ -n $joins ]] || die "${tpu[type]} has several hosts: give ${command[0]}" \
    '--distributed and a --config.mesh of all chips, or take a smaller --type'
}

# Prints the estimate that --estimate asks for.
estimate() {
  local python=${SPECCASCADE_VENV:-.venv}/bin/python
  local program=experiments/estimate_tpu.py
  [[ -n ${tpu[estimate]} ]] || return 0
  if [[ ! -x $python ]]; then
    python=python3
    # Run under another name it imports what it needs, and does no more.
    PYTHONPATH=. python3 -c 'import runpy, sys; runpy.run_path(sys.argv[1])' \
      "$program" 2>/dev/null || die '--estimate needs a Python that has' \
      'speccascade: make .venv by scripts/test.sh, or pip install -e .'
  fi
  # xargs splits lines at blanks that are not within quotes.
  PYTHONPATH=. xargs "$python" "$program" <<<"${tpu[estimate]}" || return 1
}

# Dies unless this is the root of a clone that has a commit.
check_clone() {
  local told
  told=$(git rev-parse --verify HEAD 2>&1) \
    || die "$PWD is no git clone (${told%%$'\n'*}); run this in a clone"
  [[ -z $(git rev-parse --show-prefix) ]] \
    || die "$PWD is but a folder of a git clone; run this in a clone"
}

# Dies unless what runs would be a commit, which records tell.
check_commit() {
  check_clone
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
