"""Programs that a cell started on a lab host, and what ends them."""

from __future__ import annotations

from collections.abc import Container

from harness.model.machine import Machine

#: Numbers of processes with a mark in their environment, which are not of the session that asks.
_MARKED = """
session() { stat=$(cat /proc/$1/stat 2>/dev/null) || return 1; set -- ${stat##*) }; echo $4; }
own=$(session $$)
for file in $(grep -lz '^MARK$' /proc/[0-9]*/environ 2>/dev/null); do
  pid=${file#/proc/}; pid=${pid%%/*}
  [ "$(session $pid)" = "$own" ] || echo $pid
done
"""


def marked(machine: Machine, mark: str) -> dict[int, str]:
    """Processes that were started with ``mark`` in their environment, and all that they started.

    Those that look are left out: a machine of the cell marks its own commands too.
    """
    if not mark:
        return {}
    answer = machine.run(_MARKED.replace("MARK", f"HARNESS_MARK={mark}"), timeout=60)
    pids = {int(line) for line in answer.out.split()}
    return {pid: args for pid, args in machine.processes().items() if pid in pids}


def end_marked(machine: Machine, mark: str) -> None:
    """End what ``marked`` lists: first by SIGTERM, then by SIGKILL."""
    for signal in ("TERM", "KILL"):
        pids = " ".join(map(str, marked(machine, mark)))
        if not pids:
            return
        machine.run(
            f"kill -{signal} {pids} 2>/dev/null; kill -CONT {pids} 2>/dev/null; n=0; "
            f"while kill -0 {pids} 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done",
            timeout=60,
        )


def end_orphans(machine: Machine, before: Container[int]) -> None:
    """End programs that came since ``before`` and whose files are gone now: daemons that hide their environment."""
    new = " ".join(str(pid) for pid in machine.processes() if pid not in before)
    if new:
        machine.run(
            f"for p in {new}; do a=$(tr '\\000' '\\n' </proc/$p/cmdline 2>/dev/null | head -n 1)\n"
            "case $(readlink /proc/$p/exe) in *' (deleted)') kill -9 $p; continue ;; esac\n"
            'case $a in /*) [ -e "${a%% *}" ] || kill -9 $p ;; esac; done; sleep 0.2',
            timeout=60,
        )
