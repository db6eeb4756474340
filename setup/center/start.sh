#!/bin/sh
# What a container of a center begins with: center WORD …, as `harness WORD …`, with the database's address made of its
# parts and of the file that holds the password. For health: `center healthy` ends with 0 where this container's worker is
# heard, `center answers URL [URL]` where the first answers under the name of the second.
#   HARNESS_DATABASE            HOST:PORT/NAME
#   HARNESS_DATABASE_USER       role; HARNESS_DATABASE_PASSWORD_FILE: file with its password
#   HARNESS_EMULATORS=register  give the QEMU of this image to the kernel, for programs of ARM and LoongArch
set -eu
die() { printf 'center: %s\n' "$1" >&2; printf '  next: %s\n' "$2" >&2; exit 2; }

if [ "${1:-}" = answers ]; then # whatever proxy the engine puts into the environment; whose certificate it is, is not asked
    exec python3 -I -c '
import ssl, sys, urllib.parse, urllib.request
trusting = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
request = urllib.request.Request(sys.argv[1], headers={"Host": urllib.parse.urlsplit(sys.argv[2]).netloc})
urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting).open(request, timeout=5)
' "${2:?URL}" "${3:-$2}"
fi
[ "${1:-}" != register ] || HARNESS_DATABASE_URL=none HARNESS_EMULATORS=register # asks no database

file=${HARNESS_DATABASE_PASSWORD_FILE:-/run/secrets/database-password} user=${HARNESS_DATABASE_USER:-harness}
if [ -z "${HARNESS_DATABASE_URL:-}" ]; then
    [ -s "$file" ] || die "the file $file holds no password" \
        "write one into the file that HARNESS_SECRET names: openssl rand -base64 24 >FILE; chmod 600 FILE"
    [ "$(grep -c '' "$file")" = 1 ] || die "the file $file has several lines, and a password has one" "write one line into it"
    # Any password is good: what has a meaning in a URL is encoded. A newline at its end is of the editor.
    HARNESS_DATABASE_URL=$(python3 -I -c '
import sys, urllib.parse
password = open(sys.argv[1], encoding="utf-8").read().rstrip("\n")
print(f"postgresql://{urllib.parse.quote(sys.argv[2], safe=str())}:{urllib.parse.quote(password, safe=str())}@{sys.argv[3]}")
' "$file" "$user" "${HARNESS_DATABASE:?HOST:PORT/NAME of the database}") ||
        die "the password in $file cannot be read" "it is one line of text (UTF-8)"
    export HARNESS_DATABASE_URL
fi

healthy() { # by the database, which the worker writes to every ten seconds; the password is in no list of processes
    place=${HARNESS_DATABASE%%/*}
    answer=$(PGPASSWORD=$(cat "$file") PGCONNECT_TIMEOUT=10 psql -h "${place%:*}" -p "${place##*:}" -U "$user" \
        -d "${HARNESS_DATABASE#*/}" -v ON_ERROR_STOP=1 -v "name=$HARNESS_WORKER" -qAt <<'SQL'
SELECT count(*) FROM workers
WHERE name = :'name' AND state IN ('working', 'draining') AND EXTRACT(epoch FROM clock_timestamp()) - heartbeat < 180
SQL
    ) && [ "$answer" = 1 ]
}

register() { # for each architecture: the kernel opens the program now (flag F), and keeps it when this container is gone
    table=/proc/sys/fs/binfmt_misc
    for cpu in aarch64 loongarch64; do
        [ "$(uname -m)" != $cpu ] || continue
        rule=/usr/lib/binfmt.d/qemu-$cpu.conf
        [ -f "$rule" ] || die "$rule is missing in this image" "build the image anew: setup/center/Dockerfile"
        # An entry of another QEMU goes: the evidence names the program that this image has.
        [ ! -e $table/qemu-$cpu ] || echo -1 >$table/qemu-$cpu
        tr -d '\n' <"$rule" >$table/register || die "qemu-$cpu could not be registered with binfmt_misc" "see: dmesg"
    done
}

case ${1:-} in
    healthy) healthy; exit ;;
    register | worker)
        if [ "${HARNESS_EMULATORS:-}" = register ]; then
            [ -e /proc/sys/fs/binfmt_misc/register ] ||
                mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc ||
                die "binfmt_misc could not be mounted" "the container needs the rights of the worker in compose.yaml"
            register
        fi
        [ "$1" = worker ] || exit 0 ;;
esac
exec harness "$@"
