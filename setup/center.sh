#!/bin/sh
# Brings a center up on this machine for trying, and takes it down: PostgreSQL, a sweeper, two workers, an example queue.
# Usage: setup/center.sh up|down|env       Everything lies in .center/; `env` prints what commands need.
set -eu
cd "$(dirname "$0")/.."
place=$PWD/.center harness=${HARNESS:-$PWD/.venv/bin/harness}
say() { printf 'center: %s\n' "$*"; }
die() { printf 'center: %s\n' "$1" >&2; printf '  next: %s\n' "$2" >&2; exit 3; }
binaries=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --init-groups "$@"; else "$@"; fi; }

environment() {
    printf "export HARNESS_DATABASE_URL='postgresql://center@/center?host=%s'\n" "$place/socket"
    printf "export HARNESS_EVIDENCE='%s'\n" "$place/evidence"
}

begin() { # name, words of the command: a process that goes on, its number in a file
    name=$1; shift
    setsid "$harness" "$@" >"$place/$name.log" 2>&1 </dev/null &
    echo $! >"$place/$name.pid"
    say "$name: process $!, log .center/$name.log"
}

up() {
    [ -x "$harness" ] || die "there is no $harness" "make setup"
    [ -n "$binaries" ] || die "PostgreSQL is not installed" "apt-get install postgresql"
    [ ${#place} -le 80 ] || die "the path $place is too long for a socket" "copy this folder to a shorter path"
    [ ! -e "$place/sweeper.pid" ] || die "a center is there already" "make center-down"
    mkdir -p "$place/socket" "$place/evidence"
    if [ ! -d "$place/data" ]; then
        mkdir "$place/data"
        [ "$(id -u)" != 0 ] || chown postgres "$place/data"
        as "$binaries/initdb" -D "$place/data" -U center -A trust -E UTF8 --locale=C >/dev/null
    fi
    [ "$(id -u)" != 0 ] || chown postgres "$place/socket"
    chmod 700 "$place/socket"
    as "$binaries/pg_ctl" -D "$place/data" -w -s -l "$place/socket/log" \
        -o "-c listen_addresses='' -c unix_socket_directories='$place/socket'" start
    as "$binaries/psql" -h "$place/socket" -U center -d postgres -qAtc \
        "SELECT 1 FROM pg_database WHERE datname = 'center'" | grep -q 1 ||
        as "$binaries/createdb" -h "$place/socket" -U center center
    eval "$(environment)"
    for name in example-a example-b; do
        [ -d "$place/$name" ] || (cd "$place" && "$harness" init "$name" >/dev/null 2>&1)
    done
    begin sweeper sweeper --workspace "$place/sweeper"
    begin worker-1 worker --workspace "$place/one" --name worker-1 --slots 1
    begin worker-2 worker --workspace "$place/two" --name worker-2 --slots 1
    "$harness" submit "$place/example-a" --workspace "$place/desk" --customer 'Vendor A'
    "$harness" submit "$place/example-b" --workspace "$place/desk" --customer 'Vendor B' --priority 1
    say "for the commands queue, workers, status, fetch: eval \"\$(sh setup/center.sh env)\""
}

down() {
    [ -d "$place" ] || die "there is no center in .center" "make center"
    for name in worker-1 worker-2 sweeper; do
        [ -f "$place/$name.pid" ] || continue
        number=$(cat "$place/$name.pid")
        # Twice: cells that run go back into the queue.
        if kill "$number" 2>/dev/null; then sleep 1; kill "$number" 2>/dev/null || :; fi
        n=0; while kill -0 "$number" 2>/dev/null && [ $n -lt 60 ]; do sleep 1; n=$((n + 1)); done
        rm "$place/$name.pid"
    done
    as "$binaries/pg_ctl" -D "$place/data" -m fast -s stop || :
    say "stopped; records and evidence stay in .center (remove it when you need them no more)"
}

case ${1:-} in
    up) up ;;
    down) down ;;
    env) environment ;;
    *) echo "usage: setup/center.sh up|down|env" >&2; exit 2 ;;
esac
