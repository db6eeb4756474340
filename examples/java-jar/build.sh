#!/bin/sh
# Builds build/notes.jar with javac and jar alone. No network is needed. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

for tool in javac jar; do
    command -v $tool >/dev/null || fail "there is no $tool" "apt-get install default-jdk-headless (17 or newer)"
done
rm -rf build && mkdir -p build/classes
javac --release 17 -encoding UTF-8 -Xlint:all -Werror -proc:none -d build/classes src/*.java
# Times of the files would differ from build to build.
jar --create --date=2026-01-01T00:00:00Z --file build/notes.jar --main-class Notes -C build/classes .
rm -rf build/classes
echo build/notes.jar
