#!/bin/sh
# Makes a system to try this example on, and imports it as the target practice-rpm: files of Debian 12 with Debian's dnf 4
# and rpm, without apt and dpkg. It says in its os-release that it is nobody's product: it stands for none. In its place
# goes a system of yours (harness targets import --help).
# Usage: sh system.sh, in the folder in which you run harness       MIRROR=URI, HARNESS=COMMAND
set -eu
here=$(cd "$(dirname "$0")" && pwd)
fail() { printf 'system.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }
for tool in mmdebstrap rpmbuild; do
    command -v $tool >/dev/null || fail "there is no $tool" "apt-get install mmdebstrap rpm"
done
mkdir -p "$here/build"
work=$(mktemp -d "$here/build/.system-XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# What packages of the RPM family ask of a base system, and Debian's files are: one empty package that provides it.
cat >"$work/base.spec" <<'SPEC'
Name: practice-system
Version: 1
Release: 1
Summary: files of Debian, under names that packages of the RPM family ask for
License: none
BuildArch: noarch
AutoReqProv: no
Provides: /bin/sh /bin/bash /usr/bin/env /usr/bin/python3 system-release python3 shadow-utils coreutils bash rpm dnf
%description
Files of Debian, under names that packages of the RPM family ask for.
%files
SPEC
rpmbuild --quiet -bb --define "_topdir $work/top" --define '_binary_payload w9.gzdio' "$work/base.spec"

cat >"$work/change" <<'CHANGE'
set -e
cat >/etc/os-release <<'OS'
NAME="Practice system"
ID=practice
ID_LIKE="rhel fedora"
VERSION_ID="1"
PRETTY_NAME="Practice system 1 (files of Debian, dnf and rpm), no product of anybody"
OS
mkdir -p /etc/rpm && echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
mkdir -p /etc/dnf/vars /etc/yum.repos.d /etc/pki/rpm-gpg && echo 1 >/etc/dnf/vars/releasever
ln -sf dnf-3 /usr/bin/dnf
rm -rf /var/lib/dpkg /var/lib/apt /var/cache/apt /etc/apt /usr/lib/apt /etc/debian_version /var/lib/rpm /usr/share/doc
rm -f /usr/bin/apt* /usr/bin/dpkg* /usr/sbin/policy-rc.d
rpm --initdb
rpm -i --nosignature --nodigest /base.rpm
rm -f /base.rpm /change
CHANGE

echo "files of Debian 12: a minute" >&2
mode=auto
[ "$(id -u)" != 0 ] || mode=root
TMPDIR=$work mmdebstrap --quiet --mode=$mode --variant=minbase --include=dnf,rpm,python3,passwd --format=tar \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="cp '$work'/top/RPMS/noarch/*.rpm \"\$1/base.rpm\"; cp '$work/change' \"\$1/change\"" \
    --customize-hook='chroot "$1" sh /change' \
    bookworm "$here/build/system.tar" ${MIRROR:-${HARNESS_MIRROR:-}} ||
    fail "mmdebstrap does not make the system" "see what it says; MIRROR=URI names another mirror of Debian"
${HARNESS:-harness} targets import root "$here/build/system.tar" --name practice-rpm --replace
rm -f "$here/build/system.tar"
