# Sourced by the scripts beside it, from the root of the repository: makes a
# virtual environment in $venv and installs the tested versions into it.
#
# PYTHON picks the interpreter (default python3, at least 3.11),
# SPECCASCADE_VENV the environment's folder (default .venv).
python=${PYTHON:-python3}
venv=${SPECCASCADE_VENV:-.venv}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  2>/dev/null || {
  echo "$python is missing or older than 3.11: set PYTHON to a newer one" >&2
  exit 1
}
[[ -x $venv/bin/pip ]] || "$python" -m venv "$venv"

# What was installed, to skip it next time.
fingerprint() {
  pwd
  "$venv/bin/python" --version
  cat setup.py constraints.txt
}
if [[ $(fingerprint) != "$(cat "$venv/installed" 2>/dev/null)" ]]; then
  "$venv/bin/python" -m pip install --disable-pip-version-check \
    -c constraints.txt -e '.[test]'
  fingerprint >"$venv/installed"
fi
