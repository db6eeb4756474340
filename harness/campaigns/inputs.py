"""Inputs of a campaign: what it was submitted with, by content, in the evidence store.

A submitted campaign is read from here alone: running, resuming, replaying and bundling it need neither the folder nor
the machine of whoever submitted it. The tree has the shape of a user's folder: ``matrix/`` (matrix, application, its
files, own suites, lock), ``targets/`` and ``suites/`` (what the plan uses of the catalogue), ``reports/`` (wording,
templates and profiles of one's own).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import InfrastructureError, UsageError
from harness.evidence import EvidenceStore, Workspace
from harness.evidence.store import disk_errors
from harness.model.definitions import DatedData
from harness.model.plan import Definitions, Plan
from harness.model.records import CampaignRow
from harness.planning.lockfile import NAME as LOCK
from harness.planning.lockfile import write_lock
from harness.reading.catalogue import Catalogue
from harness.system.scratch import temporary_folder

#: Of a suite's folder these are no part of it.
LEFT_OUT = ("__pycache__",)


class InputFile(BaseModel):
    """One file: SHA-256 (hex) of its content, and whether it may be executed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    sha256: str
    executable: bool


class Inputs(BaseModel):
    """Every file by its path in the tree, and the path of the matrix."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    matrix: str
    files: dict[str, InputFile]


def submit(definitions: Definitions, plan: Plan, catalogue: Catalogue, store: EvidenceStore) -> str:
    """Store the inputs of a campaign; gives the SHA-256 of their list, which stands in the campaign's record.

    Raises:
        InfrastructureError: the disk refuses.
        UsageError: a file vanished meanwhile.
    """
    with temporary_folder("submit") as scratch:
        lock = write_lock(definitions, plan, Path(scratch) / LOCK)
        matrix, sources = _sources(definitions, catalogue, lock)
        files = {}
        for place, source in sorted(sources.items()):
            files[place] = InputFile(sha256=store.put_file(source), executable=os.access(source, os.X_OK))
    return store.put(Inputs(matrix=matrix, files=files).model_dump_json(indent=1).encode())


def of_campaign(row: CampaignRow) -> str:
    """SHA-256 of the list of a campaign's inputs.

    Raises:
        UsageError: an older harness began it, which kept none.
    """
    digest = str(row.plan.get("inputs", ""))
    if not digest:
        raise UsageError(
            f"campaign {row.id} was begun by an older harness, which kept no inputs",
            advice="use that version for it, or begin a new campaign with: harness run",
        )
    return digest


def listed(digest: str, store: EvidenceStore) -> Inputs:
    """The list of a campaign's inputs.

    Raises:
        InfrastructureError: it is missing, was changed, or is no such list.
    """
    try:
        return Inputs.model_validate_json(store.get(digest))
    except ValidationError as error:
        raise InfrastructureError(f"{digest} lists no inputs of a campaign", advice="restore the workspace") from error


def unpack(digest: str, store: EvidenceStore, folder: Path) -> Path:
    """Write the inputs below ``folder``, which must be empty or absent; gives the path of the matrix.

    Raises:
        InfrastructureError: a file is missing or was changed, or the disk refuses.
    """
    inputs = listed(digest, store)
    with disk_errors(f"writing {folder}"):
        for place, file in inputs.files.items():
            target = folder / _inside(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            store.fetch(file.sha256, target)
            target.chmod(0o755 if file.executable else 0o644)
    return folder / _inside(inputs.matrix)


@contextmanager
def unpacked(
    digest: str, workspace: Workspace, campaign: str, *, trusts_code: bool = False
) -> Iterator[tuple[Path, Catalogue]]:
    """The inputs in a folder of the workspace while a campaign works; gives the matrix, and the catalogue that it has.

    Raises:
        InfrastructureError: as ``unpack``.
    """
    folder = workspace.root / "inputs" / campaign  # a worker of a center has a workspace for each cell at once
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield unpack(digest, workspace.store, folder), Catalogue((folder,), whole=False, trusts_code=trusts_code)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inside(place: str) -> PurePosixPath:
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts:
        raise InfrastructureError(f"an input lies outside of its tree: {place}", advice="restore the workspace")
    return path


def _sources(definitions: Definitions, catalogue: Catalogue, lock: Path) -> tuple[str, dict[str, Path]]:
    """Path of the matrix in the tree; and path in the tree -> file, of everything that is read of the definitions."""
    own = {*_named(definitions), *_files_of_application(definitions)}
    elsewhere: dict[str, Path] = {}
    for name, suite in definitions.suites.items():
        beside = _plain(definitions.folder / name)
        files = _files_below(suite.folder)
        if beside.resolve() == suite.folder:
            own |= {beside / file for file in files}
        else:
            elsewhere |= {f"suites/{name}/{file}": suite.folder / file for file in files}
    base = Path(os.path.commonpath([definitions.folder, *(path.parent for path in own)]))
    matrix = f"matrix/{definitions.folder.relative_to(base).as_posix()}".removesuffix("/.")
    sources = {f"matrix/{path.relative_to(base).as_posix()}": path for path in own}
    sources |= elsewhere | _of_catalogue(definitions, catalogue)
    sources[f"{matrix}/{LOCK}"] = lock
    return f"{matrix}/{definitions.matrix_path.name}", sources


def _plain(path: Path) -> Path:
    """Absolute and without ``..``; links stay, so that a path in a definition leads to the same place in the tree."""
    return Path(os.path.normpath(path))


def _named(definitions: Definitions) -> Iterator[Path]:
    """The matrix, and the files that it names."""
    matrix = definitions.matrix
    yield definitions.folder / definitions.matrix_path.name
    dated: tuple[DatedData, ...] = (*matrix.vulnerabilities, *matrix.malware)
    data = [each.file for each in dated]
    for name in (matrix.application, matrix.waivers, matrix.axes_from, matrix.include_from, *data):
        if name:
            yield _plain(definitions.folder / str(name))


def _files_of_application(definitions: Definitions) -> Iterator[Path]:
    folder = _plain(definitions.folder / definitions.matrix.application).parent
    for name in definitions.files:
        yield _plain(folder / name)


def _files_below(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part in LEFT_OUT for part in path.relative_to(folder).parts)
    ]


def _of_catalogue(definitions: Definitions, catalogue: Catalogue) -> dict[str, Path]:
    """What the plan uses of the catalogue, and the reports' files of the user's own."""
    groups: Mapping[str, Collection[str]] = {
        "cpu": definitions.cpus,
        "os": definitions.systems,
        "database": definitions.databases,
        "runtime": definitions.runtimes,
        "middleware": definitions.middlewares,
    }
    wanted = [("targets", kind, f"{name}.yaml") for kind, names in groups.items() for name in names]
    wanted.append(("suites", "load/http", "suite.yaml"))  # what a plain locustfile is described by
    entries = {"/".join(parts): path for parts in wanted if (path := catalogue.find(*parts)) is not None}
    if (deployment := catalogue.find("suites", "deployment")) is not None:
        entries |= {f"suites/deployment/{file}": deployment / file for file in _files_below(deployment)}
    for root in reversed(catalogue.roots[:-1]):  # the last one is what is shipped
        if (root / "reports").is_dir():
            entries |= {f"reports/{file}": root / "reports" / file for file in _files_below(root / "reports")}
    return entries
