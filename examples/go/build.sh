#!/bin/sh
# Builds build/notes-ARCH, static programs. No network and no module is needed.
# Usage: sh build.sh [ARCH…]      ARCH: x86_64, aarch64, loongarch64; the first two where none is named
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v go >/dev/null || fail "there is no go" "apt-get install golang-go"
[ $# -gt 0 ] || set -- x86_64 aarch64
mkdir -p build
for arch; do
    case $arch in x86_64) go=amd64 ;; aarch64) go=arm64 ;; loongarch64) go=loong64 ;; *) fail "no architecture $arch" "sh build.sh x86_64" ;; esac
    # Modules of your own: put them into vendor/ (go mod vendor) and say -mod=vendor.
    GOOS=linux GOARCH=$go CGO_ENABLED=0 GOPROXY=off GOFLAGS=-mod=mod GOTOOLCHAIN=local \
        go build -trimpath -buildvcs=false -ldflags '-s -w' -o "build/notes-$arch" .
    echo "build/notes-$arch"
done
