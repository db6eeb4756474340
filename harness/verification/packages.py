"""Checks a delivery package: whether its archives hold what its list says, and what record and signature say of it.

The list is no signature: who changes a file can change the list. Report, record and certificate are shown to be the
issuer's by the envelopes beside them, and evidence by the record, which names it by SHA-256.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.certify.steps import CheckStep, Status
from harness.model.package import EVIDENCE, INDEX, SUMS, PackageList
from harness.system.canonical import read_json

#: Bytes of the list, and of a file that is unpacked to be checked.
_MOST_INDEX, _MOST_FILE = 64 * 2**20, 200 * 2**20
_RECORD = "campaign.json"
_PIECE = 2**20
_IN_IT = "evidence in the package"
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)


def is_package(place: Path) -> bool:
    """Whether a file is an archive with a package's list in it."""
    if not place.is_file() or not zipfile.is_zipfile(place):
        return False
    try:
        with zipfile.ZipFile(place) as archive:
            return INDEX in archive.namelist()
    except _BROKEN:
        return False


def check_package(place: Path, check_folder: Callable[[Path], list[CheckStep]]) -> list[CheckStep]:
    """Check the package that an archive belongs to, with its other parts beside it; ``check_folder`` checks a folder of
    a certificate."""
    try:
        with zipfile.ZipFile(place) as archive:
            index = _read(archive, INDEX, _MOST_INDEX)
        listed = PackageList.model_validate_json(index)
    except (ValidationError, KeyError, *_BROKEN) as error:
        return [
            CheckStep(
                name="list", status=Status.INVALID, detail=f"{place.name}: {INDEX} cannot be read: {_first(error)}"
            )
        ]
    steps = [
        _part(place.parent / part.file, part.file, index, listed, number) for number, part in enumerate(listed.parts)
    ]
    if place.name not in [part.file for part in listed.parts]:
        steps.append(
            CheckStep(name="name", status=Status.INVALID, detail=f"{place.name} is no part that its list names")
        )
    steps.append(_record(place.parent, listed))
    steps += _signatures(place.parent, listed, check_folder)
    return steps


def _part(path: Path, name: str, index: bytes, listed: PackageList, number: int) -> CheckStep:
    if not path.is_file():
        return CheckStep(name=name, status=Status.COULD_NOT_CHECK, detail="this part is not beside the other")
    members = {member.name: member for member in listed.parts[number].members}
    faults: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            strange = sorted(set(names) - {*members, INDEX, SUMS})
            faults += [f"{each} is not in the list" for each in strange[:5]]
            faults += [f"{each} is missing" for each in sorted({*members, INDEX, SUMS} - set(names))[:5]]
            if len(set(names)) != len(names):
                faults.append("a name is in it twice")
            if INDEX in names and _read(archive, INDEX, _MOST_INDEX) != index:
                faults.append("it has another list")
            for each in members.values():
                if each.name in names and _digest(archive, each.name, each.size) != each.sha256:
                    faults.append(f"{each.name} is not the file that the list names")
    except _BROKEN as error:
        faults.append(f"damaged: {_first(error)}")
    detail = "; ".join(faults[:5]) or f"{len(members)} files as listed"
    return CheckStep(name=name, status=Status.INVALID if faults else Status.VALID, detail=detail)


def _record(folder: Path, listed: PackageList) -> CheckStep:
    """Whether the evidence that the record names is in the package, by its digest."""
    if not listed.evidence:
        return CheckStep(name=_IN_IT, status=Status.COULD_NOT_CHECK, detail="it was left out of the package")
    packed = {m.sha256 for part in listed.parts for m in part.members if m.name.startswith(f"{EVIDENCE}/")}
    try:
        named = set(_named(read_json(_member(folder, listed, _RECORD))))
    except (KeyError, TypeError, *_BROKEN) as error:
        return CheckStep(
            name=_IN_IT, status=Status.COULD_NOT_CHECK, detail=f"{_RECORD} cannot be read: {_first(error)}"
        )
    missing = sorted(named - packed)
    if missing:
        detail = f"{len(missing)} files that the record names are not in it: SHA-256 {missing[0][:16]}…"
        return CheckStep(name=_IN_IT, status=Status.INVALID, detail=detail)
    return CheckStep(name=_IN_IT, status=Status.VALID, detail=f"{len(named)} files that the record names")


def _named(record: Any) -> Iterator[str]:
    for cell in record["cells"]:
        for file in cell["files"]:
            yield str(file["sha256"])


def _signatures(folder: Path, listed: PackageList, check_folder: Callable[[Path], list[CheckStep]]) -> list[CheckStep]:
    """What the certificate's own check says, of what lies at the top of the package."""
    names = [member.name for part in listed.parts for member in part.members if "/" not in member.name]
    if not any(name.endswith(".dsse.json") for name in names):
        detail = "nothing in it is signed: the list shows damage, and cannot show who made it"
        return [CheckStep(name="signature", status=Status.COULD_NOT_CHECK, detail=detail)]
    with tempfile.TemporaryDirectory(prefix="harness-package-") as scratch:
        for name in names:
            try:
                Path(scratch, name).write_bytes(_member(folder, listed, name))
            except (KeyError, *_BROKEN):
                continue  # the step of its part says so, and the check of the folder misses it
        return check_folder(Path(scratch))


def _member(folder: Path, listed: PackageList, name: str) -> bytes:
    """The content of a file of the package.

    Raises:
        KeyError, OSError, zipfile.BadZipFile: it is not there, or damaged.
    """
    for part in listed.parts:
        if any(member.name == name for member in part.members):
            with zipfile.ZipFile(folder / part.file) as archive:
                return _read(archive, name, _MOST_FILE)
    raise KeyError(name)


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} has more than {most} bytes")
    return data


def _digest(archive: zipfile.ZipFile, name: str, size: int) -> str:
    """SHA-256 of a member; no more than its listed size and a byte is read, whatever the archive claims."""
    digest, left = hashlib.sha256(), size + 1
    with archive.open(name) as stream:
        while left > 0 and (piece := stream.read(min(_PIECE, left))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
