"""Ends everything that runs in a container, and leaves the container."""

from __future__ import annotations

from harness.errors import InfrastructureError
from harness.model.machine import Machine

#: Ends everything in a container but its own waiting and this very command; again, until nothing is left.
_KILL = r"""
others() {
  rest=''
  for d in /proc/[0-9]*; do
    a=$(tr '\000' ' ' <$d/cmdline 2>/dev/null) && [ -n "$a" ] || continue
    case "$a" in *'sleep infinity '|*/docker-init' '*|*/podman-init' '*|*others*) ;; *) rest="$rest ${d#/proc/}" ;; esac
  done
}
n=0; others
while [ -n "$rest" ] && [ $n -lt 50 ]; do kill -9 $rest 2>/dev/null; sleep 0.1; n=$((n+1)); others; done
[ -z "$rest" ] || { echo "processes$rest"; exit 1; }
"""


def kill_all(machine: Machine, name: str, factor: float) -> None:
    """SIGKILL to everything in a container but what keeps it; ``name`` is what runs there, for messages.

    Raises:
        InfrastructureError: something of it outlives that.
    """
    answer = machine.run(_KILL, timeout=60 * factor)
    if not answer.ok:
        raise InfrastructureError(f"{name} outlived SIGKILL: {answer.text.strip()[-300:]}", advice="see its log")
