#!/bin/sh
# Builds build/notes-1.0-py3-none-any.whl. No network is needed. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

python=
for each in python3 /usr/bin/python3; do
    if [ -z "$python" ] && $each -c 'import setuptools, wheel, pip' 2>/dev/null; then python=$each; fi
done
[ -n "$python" ] || fail "no python3 has pip, setuptools and wheel" "apt-get install python3-pip python3-setuptools python3-wheel"

rm -rf build && mkdir -p build/tree
cp -R pyproject.toml src build/tree/   # setuptools writes beside the sources
# The times of the files in the wheel would differ from build to build.
SOURCE_DATE_EPOCH=1767225600 $python -m pip --disable-pip-version-check wheel --quiet --no-index --no-deps \
    --no-build-isolation --wheel-dir build build/tree
rm -rf build/tree
echo build/*.whl
