#!/bin/sh
# Builds build/notes-ARCH.tar, the image of the compose file, from nothing but a static program. No network is needed.
# Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v gcc >/dev/null || fail "there is no gcc" "apt-get install gcc libc6-dev"
docker version >/dev/null 2>&1 || fail "no Docker engine answers" "start it, or become a user who may use it"
rm -rf build && mkdir -p build/context/tree/notes
gcc -std=c11 -O2 -Wall -Wextra -Werror -pthread -static -o build/context/tree/notesd src/notesd.c src/store.c
cp Dockerfile build/context/
docker build --quiet --network none --tag notes-example-compose:1.0 build/context >/dev/null
docker save --output "build/notes-$(uname -m).tar" notes-example-compose:1.0
docker rmi notes-example-compose:1.0 >/dev/null
rm -rf build/context
echo "build/notes-$(uname -m).tar"
