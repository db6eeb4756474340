#!/bin/sh
# Builds build/notes-x86_64.tar, an image as `docker save` writes it. No network is needed, if the engine has a base.
# Usage: [BASE=debian:12] sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v gcc >/dev/null || fail "there is no gcc" "apt-get install gcc libc6-dev"
docker version >/dev/null 2>&1 || fail "no Docker engine answers" "start it, or become a user who may use it"
arch=$(uname -m)
case $arch in x86_64) debian=amd64 ;; aarch64) debian=arm64 ;; *) debian=$arch ;; esac
base=${BASE:-$(docker images --filter "reference=harness-base:debian-12-$debian-*" --format '{{.Repository}}:{{.Tag}}' | head -n 1)}
[ -n "$base" ] || fail "the engine has no image of Debian 12" "harness targets build debian-12, or BASE=debian:12 sh build.sh"
rm -rf build && mkdir -p build/context
gcc -std=c11 -O2 -Wall -Wextra -Werror -pthread -static -o build/context/notesd src/notesd.c src/store.c
cp Dockerfile build/context/
docker build --quiet --pull=false --network none --build-arg "BASE=$base" --tag notes-example:1.0 build/context >/dev/null
docker save --output "build/notes-$arch.tar" notes-example:1.0
docker rmi notes-example:1.0 >/dev/null
rm -rf build/context
echo "build/notes-$arch.tar"
