"""A database server in its vendor's image: put there with its environment and licence, and what its end means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from harness.control.ending import SIGILL
from harness.errors import AttestationMismatch, InfrastructureError
from harness.model.definitions import Database, ImageRecipe
from harness.model.definitions.image import FOLDER, LOG, STATE
from harness.model.machine import Machine
from harness.model.recipe import ImageStart
from harness.model.templating import render
from harness.system import shell

#: Lines that a message shows of what the server printed last.
SHOWN = 8
_LICENCE = re.compile(r"licen[cs]e|授权|许可证", re.IGNORECASE)
_FORMAT = re.compile(r"exec format error", re.IGNORECASE)
_DIED_OF_SIGILL = 132


@dataclass(frozen=True, kw_only=True)
class ImagedServer:
    """How the server of one cell is started. ``values``: what the recipe's templates see; ``licence``: content of the
    licence file."""

    definition: Database
    started: ImageStart
    values: Mapping[str, Any]
    licence: bytes | None = None

    @property
    def recipe(self) -> ImageRecipe:
        """What the catalogue says of it."""
        assert self.definition.image is not None
        return self.definition.image

    @property
    def user(self) -> str:
        """Whom its first program runs as."""
        return self.recipe.user or self.started.user or "root"

    @property
    def words(self) -> list[str]:
        """Its first program and that one's arguments, as an engine would start it."""
        entrypoint = self._rendered(self.recipe.entrypoint) or list(self.started.entrypoint)
        if self.recipe.command:
            return [*entrypoint, *self._rendered(self.recipe.command)]
        # An engine drops the image's command where another entry point is given.
        return [*entrypoint, *(() if self.recipe.entrypoint else self.started.command)]

    def _rendered(self, texts: tuple[str, ...]) -> list[str]:
        where = f"targets/database/{self.definition.database}.yaml"
        return [render(text, dict(self.values), where=where) for text in texts]

    def install(self, machine: Machine) -> None:
        """Write into its container what starts it. Nothing is started.

        Raises:
            InfrastructureError: the machine does not answer or does not take it.
            AttestationMismatch: neither the image nor the recipe says what is to be started.
        """
        if not self.words:
            raise AttestationMismatch(
                f"{self.definition.database}: the image names no program to start, and neither does the catalogue",
                advice=f"give `command` below `image` in targets/database/{self.definition.database}.yaml",
            )
        names = list(self.recipe.environment)
        values = self._rendered(tuple(self.recipe.environment.values()))
        lines = [f"export {name}={shell.quote(value)}" for name, value in zip(names, values, strict=True)]
        folder = shell.quote(self.started.folder or "/")
        main = [*lines, f"cd {folder} || exit 125", f"echo $$ >{FOLDER}/pid", f"exec {shell.join(self.words)}", ""]
        machine.put(f"{FOLDER}/main.sh", "\n".join(main).encode(), mode="0600")
        signal = self.recipe.stop_signal or self.started.stop_signal or "TERM"
        tenths = math.ceil(self.recipe.stop_seconds * 10)
        script = resources.files(__package__).joinpath("run_image.sh").read_text(encoding="utf-8")
        machine.put(f"{FOLDER}/run.sh", f"D={FOLDER} SIGNAL={signal} TENTHS={tenths}\n{script}".encode(), mode="0755")
        owned = [f"{FOLDER}/{name}" for name in ("main.sh", "pid", "exit", "output.log")] + list(self.recipe.data)
        if self.licence is not None and self.recipe.licence is not None:
            machine.put(self.recipe.licence.path, self.licence, mode=self.recipe.licence.mode)
            owned.append(self.recipe.licence.path)
        answer = machine.run(
            f"cd {FOLDER} && : >pid && : >exit && : >>output.log && "
            f"{''.join(f'mkdir -p {shell.quote(data)} && ' for data in self.recipe.data)}"
            f"chown {shell.quote(self.user)} {shell.join(owned)} && "
            "{ cd /proc && echo [0-9]*; } >" + f"{FOLDER}/before",
            timeout=60,
        )
        if not answer.ok:
            raise InfrastructureError(
                f"{self.definition.database}: what starts it cannot be written into its container: "
                f"{answer.text[-400:]}",
                advice=f"see `user` and `data` below `image` in targets/database/{self.definition.database}.yaml",
            )


def said_last(machine: Machine) -> str:
    """The last lines that the server printed.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    text = machine.run(f"tail -c 20000 {LOG} 2>/dev/null", timeout=60).out
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-SHOWN:])[-1200:]


def demand_no_word_of_licence(how: str, said: str) -> None:
    """Go on only where the server's words, which came before it went wrong (``how``), are of something else.

    Raises:
        AttestationMismatch: it speaks of its licence.
    """
    if _LICENCE.search(said):
        raise AttestationMismatch(
            f"{how}: it speaks of its licence, which may be missing, over, or of another machine; "
            f"its last lines: {said}",
            advice="see `licence` of the image in databases.yaml, and below `image` in the catalogue",
        )


def demand_running(machine: Machine, name: str) -> None:
    """Go on only while the server's first program runs.

    Raises:
        AttestationMismatch: it ended because its licence, its CPU or its architecture is not what it needs.
        InfrastructureError: it ended for another reason, or the machine does not answer.
    """
    state = machine.run(STATE, timeout=60).out.split()
    if len(state) != 2 or state[0] != "ended":
        return
    status, said = state[1], said_last(machine)
    how = f"{name}: the server in the vendor's image ended (exit {status}) / 镜像中的数据库服务器已退出"
    shown = f"its last lines: {said}" if said else "it printed nothing"
    if status == str(_DIED_OF_SIGILL) or SIGILL.search(said):
        raise AttestationMismatch(
            f"{how}: it died with SIGILL (illegal instruction): it uses an instruction that the CPU of its machine "
            f"does not have; {shown}",
            advice="take another class of CPU, or a build of the database for this class",
        )
    if _FORMAT.search(said):
        raise AttestationMismatch(
            f"{how}: its programs are built for another architecture; {shown}",
            advice="name the vendor's image for this architecture in databases.yaml",
        )
    demand_no_word_of_licence(how, said)
    raise InfrastructureError(
        f"{how}; {shown}",
        advice=f"see database.log in the evidence, and `image` in targets/database/{name}.yaml",
    )
