"""A campaign in one file, and the same plan run again elsewhere from it.

A bundle is an uncompressed tar: ``manifest.json`` names every other member with its SHA-256; ``definitions/`` is laid
out as a user's folder (matrix, targets, suites); ``record/`` holds what was rendered, ``evidence/`` and
``journal.json`` what was recorded of this campaign, ``images/`` (on request) the environments, so that no network is
needed.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness import __version__
from harness.campaigns import inputs
from harness.campaigns.choosing import plan_of
from harness.campaigns.options import RunOptions, cache_folder
from harness.campaigns.running import run_campaign
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.evidence.exporting import exported
from harness.evidence.store import disk_errors
from harness.gating import Difference, compare, read_record
from harness.issuing.outcome import Finished, Progress
from harness.issuing.rendering import OUTPUTS, row_of
from harness.model.plan import Definitions
from harness.model.records import CampaignRow
from harness.reading.catalogue import Catalogue


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    bundle: int
    harness: str
    campaign: str
    plan: str
    matrix: str = "matrix/matrix.yaml"  #: below ``definitions``
    options: dict[str, Any]
    files: dict[str, str]  #: member -> SHA-256


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The campaign that was run from a bundle, and how it differs from the one in the bundle."""

    finished: Finished
    difference: Difference


def bundle(identity: str, workspace: Workspace, out: Path, *, images: bool) -> Path:
    """Write the bundle of a campaign.

    Raises:
        UsageError: there is no such campaign, or it is not finished.
        InfrastructureError: its inputs are missing or were changed; the disk or the engine refuses.
    """
    row = row_of(workspace.journal, identity)
    if row.finished is None:
        raise UsageError(f"campaign {identity} is not finished", advice=f"first: harness resume {identity}")
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as scratch, disk_errors(f"writing {out}"):
        root = Path(scratch)
        matrix = inputs.unpack(inputs.of_campaign(row), workspace.store, root / "definitions")
        for name in OUTPUTS.values():
            if (workspace.folder(identity) / name).is_file():
                _copy(workspace.folder(identity) / name, root / "record" / name)
        for file in workspace.journal.files(identity):
            target = root / "evidence" / file.sha256
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(workspace.store.get(file.sha256))
        with workspace.journal.snapshot() as reader:
            (root / "journal.json").write_bytes(exported(reader, identity))
        if images:
            definitions, _ = plan_of(matrix, Catalogue((root / "definitions",), whole=False))
            _images(row, definitions, workspace, root / "images")
        members = sorted(path for path in root.rglob("*") if path.is_file())
        manifest = Manifest(
            bundle=1,
            harness=__version__,
            campaign=identity,
            plan=row.plan_digest,
            matrix=matrix.relative_to(root / "definitions").as_posix(),
            options=row.options,
            files={str(path.relative_to(root)): _digest(path) for path in members},
        )
        part = out.with_name(f".{out.name}.part")
        with tarfile.open(part, "w") as tar:
            text = manifest.model_dump_json(indent=1).encode()
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            for path in members:
                tar.add(path, str(path.relative_to(root)), filter=_plain)
        part.replace(out)
    return out


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who packed the bundle, and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _images(row: CampaignRow, definitions: Definitions, workspace: Workspace, out: Path) -> None:
    """The environments that were used, and the base images that they are looked for by."""
    engine = Engine(workspace.id)
    bases = BaseImages(engine, cache_folder(), str(row.options.get("mirror") or ""))
    wanted = {
        bases.name_of(os, cpu.architecture)
        for cell in row.plan["cells"]
        for os, cpu in definitions.machines(cell["axes"]).values()
    }
    ids = {
        image
        for attempt in workspace.journal.attempts(row.id)
        if attempt.facts.environment is not None
        for image in attempt.facts.environment.images
    }
    out.mkdir()
    for number, image in enumerate(sorted(wanted | ids)):
        engine.save_image(image, out / f"{number}.tar")


def unpack(path: Path, folder: Path) -> Manifest:
    """Unpack a bundle into ``folder``, which must be empty, and check every byte of it against its manifest.

    Raises:
        UsageError: it is no bundle, or not what its manifest says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                _extract(tar, entry, folder)
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, tarfile.TarError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"{path} is no bundle: {first}", advice="make one with: harness bundle") from error
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {"manifest.json"}
    wrong = sorted(there ^ manifest.files.keys())
    wrong += [name for name in sorted(there & manifest.files.keys()) if _digest(folder / name) != manifest.files[name]]
    if wrong:
        raise UsageError(
            f"{path} is not what its manifest says: {', '.join(wrong[:5])}", advice="get it again from whoever made it"
        )
    return manifest


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write one member below ``folder``. A bundle has plain files only, so nothing else is taken from one.

    Not ``extractall(filter="data")``: Python 3.11 has it from 3.11.4 on, and Debian 12 has 3.11.2.

    Raises:
        TarError: it is no plain file, or would lie elsewhere.
    """
    target = folder.joinpath(entry.name)
    source = tar.extractfile(entry) if entry.isreg() else None
    if source is None or entry.name.startswith("/") or ".." in Path(entry.name).parts or target.exists():
        raise tarfile.TarError(f"{entry.name!r} is no plain file of its own inside the bundle")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o755 if entry.mode & 0o100 else 0o644)


def options_of(manifest: Manifest, named: RunOptions, progress: Progress) -> RunOptions:
    """How the campaign of a bundle is run here: as it was, but for what is named.

    The inventory of lab hosts is this laboratory's own, never a path of the machine that made the bundle.
    """
    kept = RunOptions.kept(manifest.options)
    if kept.hosts and not named.hosts:
        progress.note("the bundle was made with lab hosts: name this laboratory's inventory with --hosts")
    return replace(kept, hosts="").with_named(named)


def replay(path: Path, workspace: Workspace, options: RunOptions, progress: Progress) -> Replayed:
    """Run the plan of a bundle here, and compare.

    Raises:
        UsageError: it is no bundle, or this version of the harness makes another plan of it.
        InfrastructureError: the engine or the disk refuses.
    """
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=workspace.root) as scratch:
        manifest = unpack(path, Path(scratch) / "b")
        kept = workspace.root / "replays" / f"{manifest.campaign}-{_digest(Path(scratch) / 'b' / 'manifest.json')[:8]}"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            (Path(scratch) / "b").rename(kept)
    for name in sorted(name for name in manifest.files if name.startswith("images/")):
        progress.note(f"loading {name} of the bundle")
        Engine(workspace.id).load_image(kept / name)
    definitions = kept / "definitions"
    catalogue = Catalogue.standard(definitions)
    _, plan = plan_of(definitions / manifest.matrix, catalogue)
    if plan.digest != manifest.plan:
        raise UsageError(
            f"this harness ({__version__}) reads the definitions of the bundle ({manifest.harness}) as another "
            f"plan: {plan.digest[:12]}, not {manifest.plan[:12]}",
            advice="use the version that made it",
        )
    stored = options_of(manifest, options, progress)
    finished = run_campaign(definitions / manifest.matrix, workspace, stored, progress, catalogue=catalogue)
    return Replayed(
        finished=finished,
        difference=compare(
            read_record(kept / "record" / "campaign.json"),
            read_record(Path(finished.outputs["json"])),
        ),
    )
