"""Whether all programs that ran in a cell were of its target's architecture."""

from __future__ import annotations

from typing import Protocol

from harness.model.attestation import Executions, ForeignProgram
from harness.model.results import Cause, Result, SkipReason
from harness.provision.provisioner import APPLICATION, Machines

#: So many programs are named in a case's detail.
NAMED = 5
#: From so many bytes on, what a container wrote is noted.
MUCH_WRITTEN = 1 << 30


class Observer(Protocol):
    """Records the result of a step of the deployment suite."""

    def __call__(
        self,
        test: str,
        result: Result,
        *,
        cause: Cause | None = None,
        skip_reason: SkipReason | None = None,
        detail: str = "",
    ) -> None: ...


def observe_programs(machines: Machines, architecture: str, observe: Observer) -> None:
    """Observe the step ``programs``: a foreign program of the product fails it, that of a server is the lab's.

    What could not be watched is held against the files: where none of them is a foreign program, none has run.

    Raises:
        InfrastructureError: the machines do not answer.
    """
    if machines.executions is None:
        detail = "the target is a machine of its own: it has no programs but those of its own architecture"
        observe("programs", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail=detail)
        return
    known = machines.executions()
    own = known.get(APPLICATION, Executions())
    servers = [program for role, executions in known.items() if role != APPLICATION for program in executions.foreign]
    if own.foreign:
        detail = (
            f"{_named(own.foreign)} ran, and is not built for {architecture}: on that hardware it does not run; "
            f"deliver it for {architecture}"
        )
        observe("programs", Result.FAIL, detail=detail)
    elif servers:
        detail = f"a server of the cell is not of the target's architecture: {_named(servers)}"
        observe("programs", Result.ERROR, cause=Cause.CONFIG, detail=detail)
    elif own.limit and (files := machines.carried(APPLICATION)):
        detail = (
            f"whether these programs ran is not known: {', '.join(files[:NAMED])}; {own.limit}; "
            "run the harness as root on the engine's machine"
        )
        observe("programs", Result.ERROR, cause=Cause.INFRA, detail=detail)
    else:
        limit = f"{own.limit}; no file of the machine is such a program" if own.limit else ""
        tried = f"could not start: {_named(own.tried)}" if own.tried else ""
        watched = "" if own.limit else f"each program that was executed is built for {architecture}, or is the emulator"
        observe("programs", Result.PASS, detail="; ".join(filter(None, (watched, limit, tried))))


def notes_of_writing(machines: Machines) -> list[str]:
    """What is to be said of machines that wrote much to a disk that they share with other cells.

    Raises:
        InfrastructureError: the machines do not answer.
    """
    return [
        f"the machine of {role} wrote {size / 2**30:.1f} GiB to its container's layer, which has no limit of its own"
        for role, size in machines.written().items()
        if size >= MUCH_WRITTEN
    ]


def _named(programs: tuple[ForeignProgram, ...] | list[ForeignProgram]) -> str:
    more = f" and {len(programs) - NAMED} more" if len(programs) > NAMED else ""
    return ", ".join(str(program) for program in programs[:NAMED]) + more
