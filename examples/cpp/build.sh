#!/bin/sh
# Builds build/notes-ARCH.tar.gz with bin/notesd and lib/libstore.so. No network is needed.
# Usage: sh build.sh [ARCH…]      ARCH: x86_64, aarch64; this machine's own where none is named
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

[ $# -gt 0 ] || set -- "$(uname -m)"
for arch; do
    compiler=$arch-linux-gnu-g++ package=g++-$(echo "$arch" | tr _ -)-linux-gnu
    if [ "$arch" = "$(uname -m)" ]; then compiler=${CXX:-g++} package="g++"; fi
    command -v "$compiler" >/dev/null || fail "there is no $compiler" "apt-get install $package"
    tree=build/$arch
    rm -rf "$tree" && mkdir -p "$tree/bin" "$tree/lib"
    # The oldest system that it runs on is the one that it is built on: build on Debian 12 for Debian 12.
    flags="-std=c++17 -O2 -Wall -Wextra -Werror -fstack-protector-strong"
    $compiler $flags -fPIC -shared -Wl,-soname,libstore.so -o "$tree/lib/libstore.so" src/store.cpp
    $compiler $flags -fPIE -pie -pthread -Wl,-rpath,'$ORIGIN/../lib' -o "$tree/bin/notesd" src/notesd.cpp "$tree/lib/libstore.so"
    # Names, owners and times of the files do not depend on who builds.
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1767225600 -C "$tree" -cf - bin lib |
        gzip -n9 >"build/notes-$arch.tar.gz"
    rm -rf "$tree"
    echo "build/notes-$arch.tar.gz"
done
