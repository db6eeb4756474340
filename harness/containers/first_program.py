"""A container whose first program ends by itself: nothing runs in it, and its system is what is wrong."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError, ProvisionError
from harness.system.printable import one_line

#: A status from here on is that of a signal, by which others end a program.
SIGNALED = 128
#: How long a program that ends at once may take until it has.
SECONDS = 20
MEMORY = 256 * 2**20


@contextlib.contextmanager
def first_program(engine: Engine, containers: Mapping[str, str], *, brought: frozenset[str]) -> Iterator[None]:
    """Where work in containers (name -> id) fails, and the first program of one has ended by itself, that is the error.
    It only waits, so that it ends shows that the system cannot run it. ``brought``: names of those whose system was
    imported or pulled, and so declared by the user.

    Raises:
        AttestationMismatch: that of a system that was brought has ended.
        ProvisionError: that of another has.
    """
    try:
        yield
    except HarnessError as error:
        for name, container in containers.items():
            words = ""
            with contextlib.suppress(InfrastructureError):
                words = ended(engine, container)
            if words and name in brought:
                raise AttestationMismatch(
                    f"{name}: {words}",
                    advice="import or name a system whose own programs run: sh and sleep with their libraries",
                ) from error
            if words:
                raise ProvisionError(f"{name}: {words}", advice="see the engine's log; repeat the run") from error
        raise


def ended(engine: Engine, container: str) -> str:
    """That a container's first program ended by itself: with what status, and what it said; empty where it did not.

    Raises:
        InfrastructureError: the engine does not answer, or has no such container.
    """
    with engine_errors("looking at a container"):
        known = engine.client.api.inspect_container(container)
    state = known["State"]
    status = int(state.get("ExitCode") or 0)
    if state.get("Status") != "exited" or not 0 <= status < SIGNALED or state.get("OOMKilled"):
        return ""
    program = " ".join(map(str, [*(known["Config"].get("Entrypoint") or ()), *(known["Config"].get("Cmd") or ())]))
    said = state.get("Error") or _last_words(engine, known)
    return (
        f"its first program ({one_line(program, 100)}) ended by itself with status {status}, and nothing else can run; "
        f"it said: {' / '.join(str(said).split(chr(10))[-3:])[-300:] or 'nothing'}"
    )


def _last_words(engine: Engine, known: Mapping[str, Any]) -> str:
    """What it says where it is started once more: of a cell's containers no engine keeps what they print."""
    name, config = f"harness-look-{secrets.token_hex(6)}", known["Config"]
    try:
        with engine_errors("starting a container once more"):
            again = engine.client.containers.create(
                known["Image"],
                config.get("Cmd"),
                entrypoint=config.get("Entrypoint"),
                user=config.get("User") or "",
                name=name,
                labels=engine.labels("build", name, "look"),
                init=True,
                network_mode="none",
                mem_limit=MEMORY,
                pids_limit=64,
                ulimits=engine.ulimits(),
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
            )
            again.start()
            again.wait(timeout=SECONDS)
            return str(again.logs(tail=3).decode(errors="replace")).strip()
    except InfrastructureError as error:
        return error.message
    finally:
        with contextlib.suppress(InfrastructureError):
            engine.remove_container(name)
