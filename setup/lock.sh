#!/bin/sh
# Writes setup/python.lock and setup/tests.lock: every package by version and SHA-256. Usage: setup/lock.sh [--upgrade]
# The index of packages is the one that this machine's pip and uv are set up with; none is named in the files.
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "lock: uv is missing. Next: pip install uv, and repeat." >&2; exit 3; }
compile() { # output, further arguments
    out=$1; shift
    UV_CUSTOM_COMPILE_COMMAND='make lock' uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate "$@" --output-file "$out" >/dev/null
    echo "written: $out"
}
compile setup/python.lock pyproject.toml --extra center --extra desk --extra s3 setup/python.in "$@"
compile setup/tests.lock pyproject.toml --extra test --extra fuzz setup/tests.in --constraint setup/python.lock "$@"
compile setup/release.lock setup/release.in "$@"
