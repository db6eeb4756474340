#!/bin/sh
# Builds build/notes_1.0_all.deb with dpkg-deb. No network is needed. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb" "apt-get install dpkg, or build on Debian"
rm -rf build && mkdir -p build/tree/DEBIAN
install -m 0644 debian/control debian/conffiles build/tree/DEBIAN/
install -m 0755 debian/postinst debian/prerm debian/postrm build/tree/DEBIAN/
install -D -m 0755 src/notesd build/tree/usr/bin/notesd
install -D -m 0644 src/notes.service build/tree/lib/systemd/system/notes.service
install -D -m 0640 src/notes.default build/tree/etc/default/notes
# The times of the files in the package would differ from build to build.
find build/tree -exec touch -h -d @1767225600 {} +
SOURCE_DATE_EPOCH=1767225600 dpkg-deb --root-owner-group --build build/tree build/notes_1.0_all.deb >/dev/null
rm -rf build/tree
echo build/notes_1.0_all.deb
