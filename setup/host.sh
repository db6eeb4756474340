#!/bin/sh
# Installs what the harness needs from this Debian-like machine, and starts the Docker engine where none runs.
# Usage: setup/host.sh [--mirror URI] [--java] [--center] [--tests] [--check]     (root, or a user with sudo; may be repeated)
#        setup/host.sh --image [--vm] [--mirror URI]     (within a container image)
#   --mirror URI  take Debian packages from there instead of the host's own apt configuration
#   --java        also what builds the example matrices/java-web: a JDK and the servlet API
#   --center      also what `make center` needs: PostgreSQL
#   --tests       also what only the tests need (a browser, compilers, rpm, a JDK)
#   --check       only say what is missing; exit 3 if anything is
#   --image       the packages of a worker in a container (setup/center/Dockerfile): the engine is the host's, and nothing is
#                 registered with the kernel
#   --vm          with --image: also what virtual machines need
set -eu
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$1" >&2; printf '  next: %s\n' "$2" >&2; exit 3; }

mirror=${HARNESS_MIRROR:-} check='' tests='' java='' center='' image='' vm=''
while [ $# -gt 0 ]; do
    case $1 in
        --mirror) mirror=${2:?--mirror needs a URI}; shift 2 ;;
        --check) check=1; shift ;;
        --image) image=1; shift ;;
        --vm) vm=1; shift ;;
        --java) java=1; shift ;;
        --center) center=1; shift ;;
        --tests) tests=1 java=1 center=1; shift ;;
        *) printf 'setup: unknown argument %s; known: --mirror URI, --java, --center, --tests, --check, --image, --vm\n' "$1" >&2; exit 2 ;;
    esac
done

command -v apt-get >/dev/null || die "this machine has no apt-get; Debian 12 or newer (or a derivative) is expected" \
    "install Docker, qemu-user-static 9 or newer with binfmt, mmdebstrap and the Noto fonts (CJK too) by hand, then repeat"
if [ "$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo
else die "installing packages needs root, and there is no sudo" "run it as root, or install sudo"; fi

lacks() { ! dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
vm_version() { qemu-system-loongarch64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1; }
qemu_version() { qemu-loongarch64-static --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1; }

need='' newer=''
want() { # package, reason
    if lacks "$1"; then need="$need $1"; say "missing: $1 ($2)"; fi
}
[ -n "$image" ] || command -v dockerd >/dev/null || want docker.io "Docker engine: every target is a container"
command -v iptables >/dev/null || want iptables "networks of the containers"
want ca-certificates "checking mirrors and indexes reached over TLS"
want python3-venv "the Python environment"
want fonts-noto-cjk "Chinese text in certificates"
want fonts-noto-core "Latin text in certificates"
command -v openssl >/dev/null || want openssl "SM2 signatures"
command -v mke2fs >/dev/null || want e2fsprogs "disks of virtual machines"
command -v depmod >/dev/null || want kmod "kernels of virtual machines"
command -v bwrap >/dev/null || want bubblewrap "code of suites that are not shipped runs in a sandbox"
want procps "processes of containers are listed with ps"
if [ -n "$java" ]; then
    command -v javac >/dev/null || want default-jdk-headless "matrices/java-web is built with it"
    [ -f /usr/share/java/tomcat10-servlet-api.jar ] || want libtomcat10-java "the servlet API of matrices/java-web"
fi
if [ -n "$tests" ]; then
    command -v chromium >/dev/null || want chromium "the tests open the report in a browser"
    command -v chromedriver >/dev/null || want chromium-driver "the tests use the report in a browser"
    command -v gcc >/dev/null || want gcc "the tests scan what compilers make"
    command -v g++ >/dev/null || want g++ "the tests build the example in C++"
    want libc6-dev "the tests scan what compilers make"
    command -v aarch64-linux-gnu-gcc >/dev/null || want gcc-aarch64-linux-gnu "the tests scan what compilers make"
    [ "$(uname -m)" = aarch64 ] || want libc6-dev-arm64-cross "the tests scan what compilers make"
    command -v go >/dev/null || want golang-go "the tests build the examples of each kind"
    command -v cargo >/dev/null || want cargo "the tests build the examples of each kind"
    for package in python3-pip python3-setuptools python3-wheel; do
        python3 -c 'import setuptools, wheel, pip' 2>/dev/null || want $package "the tests build the examples of each kind"
    done
    command -v rpmbuild >/dev/null || want rpm "the tests scan packages, and make a distribution of the RPM family"
    command -v createrepo_c >/dev/null || want createrepo-c "the tests make a repository of packages"
    command -v xorriso >/dev/null || want xorriso "the tests make an installation medium"
    command -v gpg >/dev/null || want gnupg "the tests sign packages"
    ls /usr/lib/*/libarchive.so.13 >/dev/null 2>&1 || want libarchive13 "the tests scan archives of other kinds"
    command -v clamscan >/dev/null || want clamav "the tests look for malware"
    command -v readelf >/dev/null || want binutils "the scan is compared with readelf"
    command -v file >/dev/null || want file "the scan is measured beside file"
    command -v podman >/dev/null || want podman "the tests run containers with it too"
    command -v runc >/dev/null || want runc "Podman's runtime"
    command -v catatonit >/dev/null || want catatonit "the first process of Podman's containers"
    command -v docker-registry >/dev/null || want docker-registry "the tests pull images from a registry of their own"
    command -v syslinux >/dev/null || [ "$(uname -m)" != x86_64 ] || want syslinux "the tests make a disk that boots by itself"
    [ -f /usr/lib/syslinux/mbr/mbr.bin ] || want syslinux-common "the tests make a disk that boots by itself"
    command -v mcopy >/dev/null || want mtools "the tests make a disk that boots by itself"
    command -v mkfs.fat >/dev/null || [ -x /usr/sbin/mkfs.fat ] || want dosfstools "the tests make a disk that boots by itself"
    command -v sfdisk >/dev/null || [ -x /usr/sbin/sfdisk ] || want fdisk "the tests make a disk that boots by itself"
    command -v softhsm2-util >/dev/null || want softhsm2 "the tests sign with a key on a token"
    command -v pkcs11-tool >/dev/null || want opensc "the tests make a key on a token"
    command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || want mariadb-server-core "the tests have cells use a MariaDB server"
    command -v pdfsig >/dev/null || want poppler-utils "the tests have signatures in PDF files checked by it"
    command -v faketime >/dev/null || want faketime "the tests have workers whose clock is wrong"
    { command -v iptables >/dev/null || [ -x /usr/sbin/iptables ]; } || want iptables "the tests lose packets"
    command -v unzip >/dev/null || want unzip "the scan is measured beside it"
    command -v systemd-analyze >/dev/null || want systemd "the tests verify the units of a center"
    command -v docker-compose >/dev/null || want docker-compose "the tests read and start the compose file of a center"
    for package in ceph-mon ceph-osd radosgw; do
        command -v $package >/dev/null || want $package "the tests keep evidence in an S3-compatible store"
    done
fi
if [ -n "$center" ]; then
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || want postgresql "the records of a center, and of the tests"
fi
if [ -n "$image" ]; then
    command -v psql >/dev/null || want postgresql-client "backup, restore, and the health of a worker"
    command -v setpriv >/dev/null || want util-linux "sandboxes, and networks of containers"
fi
want debian-archive-keyring "verifying the packages of the target images"
machines='qemu-system-x86 qemu-system-arm qemu-system-misc qemu-utils'
[ -z "$image" ] || [ -n "$vm" ] || machines=
for package in qemu-user-static mmdebstrap $machines; do
    case $package in
        mmdebstrap) command -v mmdebstrap >/dev/null && continue
            say "missing: mmdebstrap (target images are built from packages)" ;;
        qemu-system-*|qemu-utils) v=$(vm_version)
            if [ "${v:-0}" -ge 9 ] && ! lacks "$package"; then continue; fi
            say "missing: $package 9 or newer (virtual machines)" ;;
        qemu-user-static) v=$(qemu_version); [ "${v:-0}" -ge 9 ] && continue
            say "missing: qemu-user-static 9 or newer (ARM and LoongArch programs; found: ${v:-none})" ;;
    esac
    newer="$newer $package"
done
if [ -n "$check" ]; then [ -z "$need$newer" ] && { say "nothing is missing"; exit 0; }; exit 3; fi

# The Debian mirror that this host uses, with its keyring: "URI CODENAME SIGNED-BY".
debian_source() {
    apt-get indextargets --format '$(SITE)|$(REPO_URI)|$(CODENAME)|$(LABEL)|$(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' '$4 == "Debian" && $3 !~ /-/ {print $2, $3, $5; exit}'
}

apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@"; }
if [ -n "$need$newer" ]; then
    say "installing:$need$newer"
    apt update >/dev/null || die "apt-get update failed (its own message is above)" "mend the apt sources of this machine and repeat"
fi
if [ -n "$need" ]; then
    # shellcheck disable=SC2086  # a list of package names
    apt install --no-install-recommends $need >/dev/null || die "apt-get could not install:$need" "see its message above"
fi
if [ -n "$newer" ]; then
    candidate=99 # the oldest version of QEMU that apt would take
    for package in $newer qemu-user-static; do
        case $package in qemu-*) ;; *) continue ;; esac
        v=$(apt-cache policy "$package" | sed -n 's/.*Candidate: \([0-9]*:\)\?\([0-9]*\).*/\2/p')
        [ "${v:-0}" -ge "$candidate" ] || candidate=${v:-0}
    done
    from=
    if [ "${candidate:-0}" -lt 9 ]; then
        set -- $(debian_source)
        [ -n "$mirror" ] || mirror=${1:-}
        release=${2:-} keyring=${3:-/usr/share/keyrings/debian-archive-keyring.gpg}
        [ -n "$mirror" ] && [ -n "$release" ] || die "no Debian source was found in this machine's apt configuration" "name a mirror with --mirror URI"
        [ -f "$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        list=/etc/apt/sources.list.d/xinchuang-harness-backports.sources
        say "adding $list: $release-backports from the mirror this machine uses already (verified with $keyring)"
        printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: %s\n' "$mirror" "$release" "$keyring" |
            $sudo tee "$list" >/dev/null
        apt update >/dev/null || die "apt-get update failed with $release-backports" "name another mirror with --mirror URI, or remove $list"
        from="-t $release-backports"
    fi
    # shellcheck disable=SC2086
    apt install --no-install-recommends $from $newer >/dev/null || die "apt-get could not install:$newer" "see its message above"
fi
if [ -n "$image" ]; then say "ready: packages of a worker in a container"; exit 0; fi

# Emulation: the kernel keeps an interpreter open (flag F), so an upgraded one is registered anew.
if ! [ -e /proc/sys/fs/binfmt_misc/register ]; then
    say "mounting binfmt_misc (the kernel's table of interpreters)"
    $sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || die "binfmt_misc could not be mounted" "load the kernel module binfmt_misc"
fi
for cpu in aarch64 loongarch64; do
    entry=/proc/sys/fs/binfmt_misc/qemu-$cpu rule=/usr/lib/binfmt.d/qemu-$cpu.conf
    if [ -e "$entry" ] && [ -z "$newer" ] && grep -q '^flags:.*F' "$entry"; then continue; fi
    say "registering qemu-$cpu with the kernel"
    [ -f "$rule" ] || die "$rule is missing, though qemu-user-static is installed" "reinstall qemu-user-binfmt"
    $sudo sh -c "[ ! -e $entry ] || echo -1 >$entry; tr -d '\\n' <$rule >/proc/sys/fs/binfmt_misc/register" ||
        die "qemu-$cpu could not be registered with binfmt_misc" "run this as root on a kernel that allows it"
done

# The engine.
engine_answers() { $sudo docker version >/dev/null 2>&1; }
if ! engine_answers; then
    if [ -d /run/systemd/system ]; then
        say "starting the Docker engine (systemd)"
        $sudo systemctl start docker || die "systemd could not start docker" "see: journalctl -u docker"
    else
        say "starting the Docker engine (dockerd in a session of its own; log: /var/log/dockerd.log)"
        $sudo sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &'
    fi
    n=0
    until engine_answers; do
        n=$((n + 1)); [ $n -lt 60 ] || die "the Docker engine did not answer within 60 s" "read the last lines of its log"
        sleep 1
    done
fi
say "ready: Docker $($sudo docker version --format '{{.Server.Version}}'), QEMU $(qemu-aarch64-static --version | sed -n 's/.*version \([^ ]*\).*/\1/p' | head -n 1)"
