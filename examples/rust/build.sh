#!/bin/sh
# Builds build/notes-ARCH, a static program for this machine's architecture. No network and no crate is needed.
# Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v cargo >/dev/null || fail "there is no cargo" "apt-get install cargo"
command -v cc >/dev/null || fail "there is no linker cc" "apt-get install gcc libc6-dev"
mkdir -p build
# Static, so that it asks for no newer glibc than the target's. Crates of your own: cargo vendor, once, with a network.
RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --release --offline --locked --target-dir build/cargo
mv build/cargo/release/notes "build/notes-$(uname -m)"
rm -rf build/cargo
echo "build/notes-$(uname -m)"
