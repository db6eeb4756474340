#!/bin/sh
# Builds build/notes-1.0-1.noarch.rpm with rpmbuild. No network is needed. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v rpmbuild >/dev/null || fail "there is no rpmbuild" "dnf install rpm-build (Debian: apt-get install rpm)"
rm -rf build && mkdir -p build/top
# gzip is read by the rpm of every release; zstd, the newest default, is not.
SOURCE_DATE_EPOCH=1767225600 rpmbuild --quiet -bb --define "_topdir $PWD/build/top" --define "_sourcedir $PWD/src" \
    --define '_binary_payload w9.gzdio' --define '_build_id_links none' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define '_buildhost example' notes.spec
mv build/top/RPMS/noarch/*.rpm build/ && rm -rf build/top
echo build/*.rpm
