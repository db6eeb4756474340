"""Says from the output of a step of an installation what went wrong, and whose it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.attest.emulation import emulator_trouble
from harness.model.recipe import Recipe
from harness.system.process import Completed

#: apt-get; dnf 4 and yum; dnf 5; a group or module of dnf 4.
_MISSING = re.compile(
    r"(?:Unable to locate package|Unable to find a match:|Package) (\S+?)(?: has no installation candidate|$)"
    r"|No match for argument: (\S+)"
    r"|(?:Module or Group|No default profiles for module|Unable to resolve argument) '?([^\s']+?)'?(?:\.| |$)",
    re.MULTILINE,
)
_WRONG = re.compile(r"package architecture \((\S+)\) does not match system \((\S+)\)")
_FOREIGN = re.compile(
    r"package (\S+) (?:is intended for a different architecture|does not have a compatible architecture)"
    r"|does not have a compatible architecture"
)
#: A package of a repository that no key verifies which the system has: dnf 4 and yum, dnf 5.
_KEY = re.compile(
    r"[Pp]ublic key for .* is not installed|they are not correct for this package|Import of the key didn't help"
    r"|[Nn]o corresponding key was found|[Pp]ublic key is not installed"
)
#: One whose signature is wrong or lacking, or that is not what its repository says.
_UNTRUE = re.compile(
    r"[Pp]ackage .*\bnot signed\b|signature.*\bBAD\b|checksum doesn't match|has incorrect checksum"
    r"|Problem opening package|GPG check FAILED|OpenPGP check for package"
)
#: Steps that install packages of the system; words of a resolver in others speak of the product's own files.
_OF_THE_SYSTEM = ("download packages", "install packages")
#: Packages, or versions, that cannot be there together: apt-get; dnf 4, dnf 5 and yum. Files of two packages that
#: conflict (`file … conflicts with file`) are no matter of a choice.
_APART = re.compile(
    r"^(?:The following packages have unmet dependencies:|E: (?:Version|Release) '[^\n]*' for '[^\n]*' was not found"
    r"|E: Unable to satisfy dependencies|[^\n]*you have held broken packages"
    r"|[^\n]*package \S+ [^\n]*conflicts with |[^\n]*nothing provides |[^\n]*none of the providers can be installed"
    r"|[^\n]*cannot install both |[^\n]*cannot install the best |[^\n]*conflicting requests"
    r"|[^\n]*problem with installed package|[^\n]*No match for argument|No package \S+ available"
    r"|Error: Package: [^\n]*\n\s+Requires: )",
    re.MULTILINE,
)
#: Of a machine whose packages were not whole before.
_UNFINISHED = re.compile(r"^E: Unmet dependencies\. Try [^\n]*", re.MULTILINE)
#: A full disk, in words of programs, of apt-get and of rpm.
_FULL = re.compile(
    r"no space left on device|disk quota exceeded|you don't have enough free space in|more space needed on the"
    r"|needs \S+ more space on the",
    re.IGNORECASE,
)
#: A container engine that does not answer.
_ENGINE = re.compile(
    r"[^\n]*(?:Cannot connect to the Docker daemon|failed to connect to the docker API|Cannot connect to Podman"
    r"|permission denied while trying to connect to the|error during connect|dial (?:unix|tcp) )[^\n]*",
    re.IGNORECASE,
)
#: Nothing can be fetched, in words of apt-get: with the address, and the reasons alone.
_APT_AWAY = (
    re.compile(r"^(?:[EW]: )?Failed to fetch [^\n]*", re.MULTILINE),
    re.compile(
        r"^(?:[EW]: |\s+)?(?:Unable to fetch some archives|Some index files failed to download|Hash Sum mismatch"
        r"|Temporary failure resolving|Could not resolve|Could not connect to|Unable to connect to)[^\n]*",
        re.MULTILINE,
    ),
)
#: Nothing can be fetched: dnf 4, dnf 5 and yum say it over and over.
_AWAY = re.compile(
    r"(?:Failed to download metadata|Failed to synchronize cache|Cannot download repomd|Cannot retrieve metalink"
    r"|Cannot retrieve repository metadata|Errors during downloading metadata|Failed to download packages"
    r"|Cannot download .*:|Error downloading packages|Librepo error|Curl error \(\d+\)|No URLs in mirrorlist"
    r"|All mirrors were tried)[^\n]*"
)


@dataclass(frozen=True, kw_only=True)
class StepTrouble:
    """Why a step failed. ``cause``: whose it is (``product``, ``config``, ``infra``, ``timeout``)."""

    message: str
    cause: str
    advice: str


def trouble_of(title: str, answer: Completed, recipe: Recipe, cause: str, *, limit: float | None = None) -> StepTrouble:
    """Why the step ``title`` ended as ``answer`` says; ``cause`` holds where its output shows no other.

    ``limit``: the seconds that it had, where they ran out.
    """
    text = answer.text
    return (
        _of_the_lab(title, text)
        or _of_packages(text, recipe)
        # What the product's own commands fetch is its own affair: whether they may is said where they were refused.
        or (_of_repositories(title, text) if title not in recipe.commands else None)
        or (_of_a_choice(text, recipe) if title in _OF_THE_SYSTEM else None)
        or _of_the_step(title, answer, cause, limit)
    )


def _of_the_lab(title: str, text: str) -> StepTrouble | None:
    """A full disk, an engine that does not answer, or an emulator that fails."""
    if _FULL.search(text):
        return StepTrouble(
            message="no space left while packages were installed",
            cause="infra",
            advice="free space on the disk of engine or host, then: harness resume",
        )
    # What a product's own command asks of an engine is its own affair.
    if title.startswith("load ") and (engine := _ENGINE.search(text)) is not None:
        return StepTrouble(
            message=f"{title}: the container engine of the machine does not answer: {engine[0].strip()[:300]}",
            cause="infra",
            advice="start docker or podman on the host, for its login too, then: harness resume",
        )
    if (words := emulator_trouble(text)) is not None:
        advice = "try it in a virtual machine (prefer: [vm]) or on a host of that kind"
        return StepTrouble(message=f"{title}: {words}", cause="infra", advice=advice)
    return None


def _of_packages(text: str, recipe: Recipe) -> StepTrouble | None:
    """A package that the system does not have, or one for another architecture."""
    for missing in _MISSING.finditer(text):
        name = next(group for group in missing.groups() if group).strip("'")  # newer ones of apt quote it
        asked = next((word for word in recipe.packages if word.lstrip("@").partition("/")[0] == name.lstrip("@")), "")
        if not asked and missing[2]:  # dnf 5 says it of files too
            continue
        what = "group or module" if (asked or name).startswith("@") or missing[3] else "package"
        streams = ": dnf 5 installs no streams of modules" if what != "package" and missing[2] and ":" in name else ""
        return StepTrouble(
            message=f"{recipe.os} for {recipe.architecture} has no {what} {asked or name}{streams}",
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


def _of_repositories(title: str, text: str) -> StepTrouble | None:
    """A repository that is away, or gives what its key does not verify: never the product's."""
    if "There are no enabled repositories" in text:
        return StepTrouble(
            message="the system has no repository that packages could come from",
            cause="config",
            advice="name the laboratory's in the system's definition (`repositories`), or deliver the packages",
        )
    if key := _KEY.search(text):
        return StepTrouble(
            message=f"a package of a repository is signed with a key that the system does not know: {_line(text, key)}",
            cause="config",
            advice="give the key of that repository: `gpgkey` of `repositories` in the system's definition, or the "
            "image's own file; if it is the right key, the repository is not whose it says",
        )
    if untrue := _UNTRUE.search(text):
        return StepTrouble(
            message=f"a package of a repository cannot be verified: {_line(text, untrue)}",
            cause="infra",
            advice="mend the repository: its packages are not as they were signed, or not signed",
        )
    # dpkg fetches nothing: what does is a script of the product's package.
    apt = () if title.startswith("dpkg -i ") else _APT_AWAY
    if away := next(filter(None, (pattern.search(text) for pattern in (_AWAY, *apt))), None):
        return StepTrouble(
            message=f"a repository gives nothing: {away[0].strip()[:300]}",
            cause="infra",
            advice="check the repositories of the system (`repositories` of its definition, or those of the image or "
            "host), then: harness resume",
        )
    return None


def _of_a_choice(text: str, recipe: Recipe) -> StepTrouble | None:
    """Packages of the system that do not go together: whoever asks for them has to choose others."""
    if unfinished := _UNFINISHED.search(text):
        return StepTrouble(
            message=f"packages of the machine were not whole before anything was installed: {unfinished[0]}",
            cause="infra",
            advice="mend them on the host, then: harness resume",
        )
    if apart := _APART.search(text):
        lines = " / ".join(line.strip() for line in text[apart.start() :].splitlines() if line.strip())
        return StepTrouble(
            message=f"{recipe.os} for {recipe.architecture} cannot install together what is asked for: {lines[:400]}",
            cause="config",
            advice="correct `packages` or `needs`: versions, and packages that exclude one another; or exclude this "
            "combination",
        )
    return None


def _line(text: str, match: re.Match[str]) -> str:
    """The line that a match is in."""
    begin = text.rfind("\n", 0, match.start()) + 1
    return text[begin:].partition("\n")[0].strip()[:300]


def _of_the_step(title: str, answer: Completed, cause: str, limit: float | None) -> StepTrouble:
    """The last lines that the step printed. What waits for the laboratory is the laboratory's trouble at any length."""
    end = f"failed (exit {answer.rc})"
    if limit is not None:
        end, cause = f"did not end within {limit:g} s", cause if cause == "infra" else "timeout"
    advice = "see the installation log in the evidence"
    if cause == "infra":
        advice = "check the mirror (of the engine's machine, or of the host), then: harness resume"
    if cause == "timeout":
        advice = "see what it waits for in the installation log; raise timeout_factor if the machine is slow"
    last = " / ".join(line for line in answer.text.splitlines() if line.strip())[-400:]
    return StepTrouble(message=f"{title} {end}: {last}", cause=cause, advice=advice)
