#!/bin/sh
# Makes the Python environment of the checkout: setup/python.sh FOLDER. May be repeated.
set -eu
venv=${1:?usage: setup/python.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: $python is $("$python" --version 2>&1); Python 3.11 or newer is needed. Next: set PYTHON to one." >&2
    exit 2
fi
stamp=$venv/.ready
want=$(cat pyproject.toml setup/python.sh setup/python.lock | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi
# tox writes a file of this name where no folder has it: a pointer to its newest environment, and nothing of the user's.
[ -f "$venv" ] && rm -f "$venv"
echo "setup: making the Python environment $venv (the package, its dependencies, tox)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "setup: no virtual environment could be made. Next: install python3-venv and repeat." >&2; exit 3; }
# Wheels alone, each by its SHA-256: nothing is built, so no code of a package runs while it is installed.
pip() { "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check "$@"; }
pip --only-binary :all: --require-hashes --requirement setup/python.lock && pip --no-deps --no-build-isolation --editable . || {
    echo "setup: pip could not install the dependencies (its own message is above). Next: check pip's index configuration and repeat." >&2
    exit 3; }
echo "$want" > "$stamp"
