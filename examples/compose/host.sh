#!/bin/sh
# Makes a lab host to try this example on: a container of Debian 12 with sshd and compose, which uses the engine of this
# machine and its network. It can do with that engine what it likes: for your own machine, not for a shared one. hosts.yaml is
# written into the folder in which you run this. In its place goes a host of yours.
# Usage: sh host.sh        sh host.sh --remove        PORT=2222 SOCKET=/var/run/docker.sock MIRROR=URI
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=notes-practice-host port=${PORT:-2222} socket=${SOCKET:-/var/run/docker.sock}
fail() { printf 'host.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }
[ -S "$socket" ] && docker version >/dev/null 2>&1 || fail "no Docker engine answers" "start it, or become a user who may use it"
docker rm --force --volumes $name >/dev/null 2>&1 || true
if [ "${1:-}" = --remove ]; then
    docker rmi --force $name >/dev/null 2>&1 || true
    rm -f "$here/build/host-key" "$here/build/host-key.pub"
    exit 0
fi
for tool in mmdebstrap ssh-keygen; do
    command -v $tool >/dev/null || fail "there is no $tool" "apt-get install mmdebstrap openssh-client"
done
if [ -e hosts.yaml ] && ! grep -q $name hosts.yaml; then
    fail "there is a hosts.yaml here already" "run it in another folder, or put that file away"
fi
mkdir -p "$here/build"
work=$(mktemp -d "$here/build/.host-XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
if ! docker image inspect $name >/dev/null 2>&1; then
    echo "files of Debian 12 with sshd and compose: two minutes" >&2
    mode=auto
    [ "$(id -u)" != 0 ] || mode=root
    TMPDIR=$work mmdebstrap --quiet --mode=$mode --variant=minbase --format=tar \
        --include=docker.io,docker-compose,openssh-server \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$work/system.tar" ${MIRROR:-${HARNESS_MIRROR:-}} ||
        fail "mmdebstrap does not make the system" "see what it says; MIRROR=URI names another mirror of Debian"
    docker import --change 'CMD ["sleep", "infinity"]' "$work/system.tar" $name >/dev/null
fi
rm -f "$here/build/host-key" "$here/build/host-key.pub"
ssh-keygen -q -t ed25519 -N '' -f "$here/build/host-key"
docker run --detach --name $name --init --network host --volume "$socket:/var/run/docker.sock" $name >/dev/null
docker exec --interactive $name sh -c 'mkdir -p ~/.ssh /run/sshd && cat >~/.ssh/authorized_keys &&
    chmod 700 ~/.ssh && chmod 600 ~/.ssh/authorized_keys && ssh-keygen -A >/dev/null' <"$here/build/host-key.pub"
docker exec $name /usr/sbin/sshd -p "$port" -o ListenAddress=127.0.0.1 -o MaxStartups=100 ||
    fail "sshd does not listen on port $port of this machine" "PORT=NUMBER names another"
public=$(docker exec $name cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)
cat >hosts.yaml <<HOSTS
# $name: a container that stands for a lab host; sh host.sh --remove ends it.
hosts:
  - host: practice
    address: 127.0.0.1
    port: $port
    user: root
    key: file:$here/build/host-key
    host_key: $public
    labels: {cpu: x86-64, os: debian-12}
    fidelity: container
HOSTS
echo "hosts.yaml: practice, 127.0.0.1 port $port"
