"""Says from the output of a step of an installation what went wrong, and whose it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.attest.emulation import emulator_trouble
from harness.model.recipe import Recipe
from harness.system.process import Completed

_MISSING = re.compile(
    r"(?:Unable to locate package|Unable to find a match:|Package) (\S+?)(?: has no installation candidate|$)",
    re.MULTILINE,
)
_WRONG = re.compile(r"package architecture \((\S+)\) does not match system \((\S+)\)")
_FOREIGN = re.compile(
    r"package (\S+) (?:is intended for a different architecture|does not have a compatible architecture)"
    r"|does not have a compatible architecture"
)


@dataclass(frozen=True, kw_only=True)
class StepTrouble:
    """Why a step failed. ``cause``: whose it is (``product``, ``config``, ``infra``)."""

    message: str
    cause: str
    advice: str


def trouble_of(title: str, answer: Completed, recipe: Recipe, cause: str) -> StepTrouble:
    """Why the step ``title`` ended as ``answer`` says; ``cause`` holds where its output shows no other."""
    text = answer.text
    return _of_the_lab(title, text) or _of_packages(text, recipe) or _of_the_step(title, answer, cause)


def _of_the_lab(title: str, text: str) -> StepTrouble | None:
    """A full disk, or an emulator that fails."""
    if "No space left on device" in text:
        return StepTrouble(
            message="no space left while packages were installed",
            cause="infra",
            advice="free space on the disk of engine or host, then: harness resume",
        )
    if (words := emulator_trouble(text)) is not None:
        advice = "try it in a virtual machine (prefer: [vm]) or on a host of that kind"
        return StepTrouble(message=f"{title}: {words}", cause="infra", advice=advice)
    return None


def _of_packages(text: str, recipe: Recipe) -> StepTrouble | None:
    """A package that the system does not have, or one for another architecture."""
    if missing := _MISSING.search(text):
        return StepTrouble(
            message=f"{recipe.os} for {recipe.architecture} has no package {missing[1]}",
            cause="config",
            advice="correct `packages`, or exclude this combination",
        )
    if wrong := _WRONG.search(text):
        words = f"the package is built for {wrong[1]}, the target is {wrong[2]}"
    elif foreign := _FOREIGN.search(text):
        words = foreign[0]
    else:
        return None
    return StepTrouble(
        message=f"wrong architecture: {words}", cause="product", advice="deliver a package for the target"
    )


def _of_the_step(title: str, answer: Completed, cause: str) -> StepTrouble:
    """The last lines that the step printed."""
    advice = "see the installation log in the evidence"
    if cause == "infra":
        advice = "check the mirror (of the engine's machine, or of the host), then: harness resume"
    last = " / ".join(line for line in answer.text.splitlines() if line.strip())[-400:]
    return StepTrouble(message=f"{title} failed (exit {answer.rc}): {last}", cause=cause, advice=advice)
