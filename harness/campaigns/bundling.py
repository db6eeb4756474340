"""A campaign in one file, and the same plan run again elsewhere from it.

A bundle is an uncompressed tar: ``manifest.json`` names every other member with its SHA-256; ``definitions/`` is laid
out as a user's folder (matrix, targets, suites); ``record/`` holds what was rendered, ``evidence/`` and
``journal.json`` what was recorded of this campaign, ``images/`` (on request) the environments, so that no network is
needed.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from harness import __version__
from harness.campaigns import inputs
from harness.campaigns.choosing import plan_of
from harness.campaigns.options import RunOptions, cache_folder
from harness.campaigns.running import run_campaign
from harness.campaigns.unpacking import (
    FORM,
    MANIFEST,
    PAYLOAD_TYPE,
    SIGNATURE,
    Manifest,
    Unpacked,
    check,
    is_inside,
    unpack,
)
from harness.certify.envelopes import Signing
from harness.containers.cache import note_brought_image
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.evidence.exporting import exported
from harness.evidence.lookup import row_of
from harness.evidence.store import disk_errors
from harness.gating import Difference, compare, read_record
from harness.issuing.outcome import Finished, Progress
from harness.issuing.rendering import OUTPUTS
from harness.model.plan import Definitions
from harness.model.records import CampaignRow
from harness.reading.catalogue import Catalogue
from harness.signing.keys import PublicKey
from harness.system.files import digest_of_file
from harness.system.scratch import temporary_folder


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The campaign that was run from a bundle, and how it differs from the one in the bundle."""

    finished: Finished
    difference: Difference


def bundle(identity: str, workspace: Workspace, out: Path, *, images: bool, signing: Signing | None = None) -> Path:
    """Write the bundle of a campaign; with ``signing``, its manifest is signed.

    Raises:
        UsageError: there is no such campaign, it is not finished, or the key does not sign.
        InfrastructureError: its inputs are missing or were changed; the disk or the engine refuses.
    """
    row = row_of(workspace.journal, identity)
    if row.finished is None:
        raise UsageError(f"campaign {identity} is not finished", advice=f"first: harness resume {identity}")
    with temporary_folder("bundle") as scratch, disk_errors(f"writing {out}"):
        root = Path(scratch)
        matrix = inputs.unpack(inputs.of_campaign(row), workspace.store, root / "definitions")
        for name in OUTPUTS.values():
            if (workspace.folder(identity) / name).is_file():
                _copy(workspace.folder(identity) / name, root / "record" / name)
        for file in workspace.journal.files(identity):
            target = root / "evidence" / file.sha256
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                workspace.store.fetch(file.sha256, target)
        with workspace.journal.snapshot() as reader:
            (root / "journal.json").write_bytes(exported(reader, identity))
        if images:
            definitions, _ = plan_of(matrix, Catalogue((root / "definitions",), whole=False))
            _images(row, definitions, workspace, root / "images")
        _write(row, root, matrix, out, signing)
    return out


def _write(row: CampaignRow, root: Path, matrix: Path, out: Path, signing: Signing | None) -> None:
    """Pack what lies below ``root``, the manifest first."""
    members = sorted(path for path in root.rglob("*") if path.is_file())
    if odd := [name for path in members if not is_inside(name := str(path.relative_to(root)))]:
        raise UsageError(f"a bundle cannot hold a file named {odd[0]!a}", advice="rename it, and run again")
    manifest = Manifest(
        bundle=FORM,
        harness=__version__,
        campaign=row.id,
        plan=row.plan_digest,
        matrix=matrix.relative_to(root / "definitions").as_posix(),
        options=row.options,
        files={str(path.relative_to(root)): digest_of_file(path) for path in members},
    )
    text = manifest.model_dump_json(indent=1).encode()
    first = {MANIFEST: text}
    if signing is not None:
        first[SIGNATURE] = signing.sign(text, PAYLOAD_TYPE).text().encode()
    part = out.with_name(f".{out.name}.part")
    with tarfile.open(part, "w") as tar:
        for name, data in first.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for path in members:
            tar.add(path, str(path.relative_to(root)), filter=_plain)
    part.replace(out)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who packed the bundle, and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


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


def options_of(manifest: Manifest, named: RunOptions, progress: Progress) -> RunOptions:
    """How the campaign of a bundle is run here: as it was, but for what is named.

    The inventories of hosts and databases are this laboratory's own, never paths of the machine that made the bundle.
    """
    kept = RunOptions.kept(manifest.options)
    if kept.hosts and not named.hosts:
        progress.note("the bundle was made with lab hosts: name this laboratory's inventory with --hosts")
    # Whose code is trusted is for who replays it to say, never for the bundle.
    if kept.databases and not named.databases:
        progress.note("the bundle was made with database servers of a laboratory: name this one's with --databases")
    own = replace(kept, hosts="", databases="")
    options = replace(own.with_named(named), trust_code=named.trust_code)
    chosen = {"mirror": options.mirror, "allow-expired-release": ", ".join(options.allow_expired)}
    for name, value in chosen.items():
        if value and value != getattr(named, name, ""):
            progress.note(f"as the bundle says: --{name} {value}")
    return options


def replay(
    path: Path,
    workspace: Workspace,
    options: RunOptions,
    progress: Progress,
    *,
    trust: tuple[PublicKey, ...] = (),
    signed: bool = False,
) -> Replayed:
    """Run the plan of a bundle here, and compare. ``trust``: keys of those who may have signed it; ``signed``: it must
    be signed by one of them.

    Nothing is written but below the workspace, and no image is given to the engine, before the plan was proved to be
    the one of the bundle.

    Raises:
        UsageError: it is no bundle, is not signed as demanded, or this version of the harness makes another plan of it.
        DefinitionError: its definitions are wrong.
        InfrastructureError: the engine or the disk refuses.
    """
    kept, unpacked = _taken(path, workspace, trust, progress, signed=signed, trusts_code=options.trust_code)
    manifest = unpacked.manifest
    names = sorted(name for name in manifest.files if name.startswith("images/"))
    stored = replace(options_of(manifest, options, progress), brought_images=bool(names))
    for name in names:
        progress.note(f"loading {name} of the bundle")
        Engine(workspace.id).load_image(kept / name, lambda tag, image: note_brought_image(cache_folder(), tag, image))
    definitions = kept / "definitions"
    catalogue = replace(Catalogue.standard(definitions), trusts_code=options.trust_code)
    finished = run_campaign(definitions / manifest.matrix, workspace, stored, progress, catalogue=catalogue)
    return Replayed(
        finished=finished,
        difference=compare(
            read_record(kept / "record" / "campaign.json"),
            read_record(Path(finished.outputs["json"])),
        ),
    )


def _taken(
    path: Path,
    workspace: Workspace,
    trust: tuple[PublicKey, ...],
    progress: Progress,
    *,
    signed: bool,
    trusts_code: bool,
) -> tuple[Path, Unpacked]:
    """The bundle in a folder of the workspace, once it and its plan hold."""
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=workspace.root) as scratch:
        place = Path(scratch) / "b"
        unpacked = unpack(path, place, trust)
        _say_who(unpacked, progress, signed=signed)
        manifest = unpacked.manifest
        definitions = place / "definitions"
        catalogue = replace(Catalogue.standard(definitions), trusts_code=trusts_code)
        _, plan = plan_of(definitions / manifest.matrix, catalogue, profile=RunOptions.kept(manifest.options).profile)
        if plan.digest != manifest.plan:
            raise UsageError(
                f"this harness ({__version__}) reads the definitions of the bundle ({manifest.harness}) as another "
                f"plan: {plan.digest[:12]}, not {manifest.plan[:12]}",
                advice="use the version that made it",
            )
        kept = workspace.root / "replays" / f"{manifest.campaign}-{unpacked.digest[:32]}"
        if kept.exists():
            check(kept, manifest, path)
        else:
            kept.parent.mkdir(exist_ok=True)
            place.rename(kept)
    return kept, unpacked


def _say_who(unpacked: Unpacked, progress: Progress, *, signed: bool) -> None:
    """Who signed the bundle.

    Raises:
        UsageError: nobody who is known here did, and it is demanded.
    """
    for key in unpacked.signed_by:
        progress.note(f"the bundle is signed by {key.name} ({key.algorithm} {key.keyid[:16]})")
    if unpacked.signed_by:
        return
    others = f"signed by {unpacked.others} keys, none of them known here" if unpacked.others else "not signed"
    if signed:
        raise UsageError(
            f"the bundle is {others}", advice="name the public keys of those who may make bundles: --signer"
        )
    progress.note(f"the bundle is {others}: who made it is not known")
