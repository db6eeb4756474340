"""Shell text on a lab host that runs a command so that a lost connection does not end it, or run it twice.

The command runs in a session of its own and leaves output and status in a folder with an unpredictable name that only
its owner can enter. The folder is made by mkdir, which fails where anything has that name: so nobody else's folder is
written to, and a command that was begun is known by it.
"""

from __future__ import annotations

import secrets

from harness.system import shell
from harness.system.bounded import MAX_OUTPUT

#: A command that ignores SIGTERM at its limit is killed so many seconds later.
KILL_AFTER = 5
# Statuses of these scripts; that of the command itself comes in the last line of the error output.
TWICE, CUT, UNBEGUN, MISSING, TOO_LARGE = 199, 198, 197, 196, 195


def new_folder() -> str:
    """A place on the host for one command, with a random name."""
    return f"/tmp/.harness-{secrets.token_hex(8)}"  # noqa: S108  # on the host; mode 0700, see above


def as_user(folder: str, login: str, user: str, limit: float) -> str:
    """The words that run the command of a folder as ``user``; another one than ``login`` by su or sudo."""
    timeout = f"timeout -k {KILL_AFTER} {limit:.1f}"
    text = f'"$(cat {folder}/cmd)"'
    if login == user:
        return f"{timeout} sh {folder}/cmd"
    if login == "root":
        return f"{timeout} su -s /bin/sh {shell.quote(user)} -c {text}"
    return f"sudo -n {'' if user == 'root' else f'-u {shell.quote(user)} '}{timeout} sh -c {text}"


def begin(folder: str, command: str, words: str, size: int, mark: str = "") -> str:
    """Note the command, run it by ``words``, wait for it, give what it left. Its input of ``size`` bytes comes first:
    one that was cut off with the connection must not be taken for the whole.

    ``mark`` is in the environment of everything that is started for it, so that also a shell which starts nothing
    is known as the cell's.
    """
    watch = (
        f"trap '' HUP; umask 022; echo $$ >{folder}/pid; {words} <{folder}/in >{folder}/out 2>{folder}/err; "
        f"echo $? >{folder}/rc.part; mv {folder}/rc.part {folder}/rc"
    )
    noted = f"echo {folder} >&2\n{command}"  # what sudo and su print before that is none of the command's
    marked = f"HARNESS_MARK={mark} " if mark else ""
    begun = (
        f"printf %s {shell.quote(noted)} >{folder}/cmd && cat >{folder}/in && [ $(wc -c <{folder}/in) -eq {size} ] "
        "|| exit 1"
    )
    return (
        f"umask 077; if [ -d {folder} ]; then exit {TWICE}; fi; mkdir {folder} || exit 1; {begun}; "
        f"{marked}setsid sh -c {shell.quote(watch)} </dev/null >/dev/null 2>&1 & wait $!; {collect(folder)}"
    )


def pick_up(folder: str) -> str:
    """Wait for a command that was begun on an earlier connection, and give what it left."""
    return (
        f"[ -d {folder} ] || exit {UNBEGUN}; n=0; while [ ! -e {folder}/rc ]; do "
        f"if [ -s {folder}/pid ]; then grep -q {folder} /proc/$(cat {folder}/pid)/cmdline 2>/dev/null || "
        f"{{ sleep 0.5; [ -e {folder}/rc ] || exit {CUT}; }}; "
        f"else n=$((n+1)); [ $n -lt 25 ] || {{ rm -rf {folder}; exit {UNBEGUN}; }}; fi; "
        f"sleep 0.2; done; {collect(folder)}"
    )


def collect(folder: str) -> str:
    """Give both outputs, each cut in the middle where it is too long, then the status in a line of its own."""
    half = MAX_OUTPUT // 2
    show = (
        f"show() {{ n=$(wc -c <$1); if [ $n -le {MAX_OUTPUT} ]; then cat $1; else head -c {half} $1; "
        f"printf '\\n[... %s bytes cut by the harness ...]\\n' $((n-{2 * half})); tail -c {half} $1; fi; }}"
    )
    return (
        f"[ -s {folder}/rc ] || exit {CUT}; {show}; show {folder}/out; show {folder}/err >&2; "
        f"printf '\\n%s' \"$(cat {folder}/rc)\" >&2"
    )
