#!/bin/sh
# Builds build/poisson-ARCH. No network is needed.
# Usage: sh build.sh [ARCH…]      ARCH: x86_64, aarch64; this machine's own where none is named
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

[ $# -gt 0 ] || set -- "$(uname -m)"
mkdir -p build
for arch; do
    compiler=$arch-linux-gnu-gcc package=gcc-$(echo "$arch" | tr _ -)-linux-gnu
    if [ "$arch" = "$(uname -m)" ]; then compiler=${CC:-gcc} package="gcc libc6-dev"; fi
    command -v "$compiler" >/dev/null || fail "there is no $compiler" "apt-get install $package"
    # A fused multiplication and addition, which ARM has and the oldest x86-64 has not, gives other last digits.
    $compiler -std=c11 -O2 -ffp-contract=off -Wall -Wextra -Werror -static -o "build/poisson-$arch" src/poisson.c -lm
    echo "build/poisson-$arch"
done
