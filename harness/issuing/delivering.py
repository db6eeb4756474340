"""What a center hands over or uploads: report, certificate, record and evidence in archives of a bounded size."""

from __future__ import annotations

import functools
import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.certify.envelopes import SIGNED_FILES
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import row_of
from harness.evidence.store import disk_errors
from harness.issuing.certifying import verify
from harness.issuing.rendering import OUTPUTS, verified_view
from harness.model.package import EVIDENCE, FURTHER, INDEX, SUMS, Member, PackageList, Part
from harness.register.register import PROOF

#: What an archive takes for a member beside its content and its name (APPNOTE 4.3.7, 4.3.12).
_OVERHEAD = 30 + 46 + 64
#: The largest archive where nobody says otherwise: what openEuler's platform takes.
LIMIT = 50 * 2**20


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file to be packed: its member, and what reads it."""

    member: Member
    read: Callable[[], bytes]


def deliver(
    identity: str,
    workspace: Workspace,
    folder: Path,
    *,
    limit: int = LIMIT,
    evidence: bool = True,
    further: Sequence[Path] = (),
) -> list[Path]:
    """Write the archives of a campaign below ``folder``; none is larger than ``limit`` bytes.

    The same campaign always gives the same bytes. ``further`` files (a report that was edited, a scan of a signed page)
    are laid in by their names.

    Raises:
        UsageError: there is no such campaign, it is not finished, what it recorded or rendered does not verify, or a
            single file is larger than the limit.
        InfrastructureError: the disk refuses.
    """
    view = verified_view(identity, workspace)
    if row_of(workspace.journal, identity).finished is None:
        raise UsageError(f"campaign {identity} is not finished", advice=f"first: harness resume {identity}")
    if bad := [step for step in verify(workspace, identity) if not step.ok]:
        raise UsageError(
            f"nothing is packed, for it is not what was recorded: {'; '.join(step.detail for step in bad)}",
            advice="render it again from the records: harness report",
        )
    files = [*_rendered(workspace.folder(identity)), *_further(further)]
    if evidence:
        files += _evidence(workspace, identity)
    name = "_".join(map(_plain, (view.application["name"]["zh"], view.versions[0], identity)))
    about = {"campaign": identity, "product": view.application["name"]["zh"][:1000], "version": view.versions[0][:1000]}
    shares = _shares(files, limit)
    names = (
        [f"{name}.zip"] if len(shares) == 1 else [f"{name}-{n}of{len(shares)}.zip" for n in range(1, len(shares) + 1)]
    )
    parts = tuple(
        Part(file=file, members=tuple(each.member for each in share)) for file, share in zip(names, shares, strict=True)
    )
    index = PackageList(**about, evidence=evidence, parts=parts).model_dump_json(indent=1).encode() + b"\n"
    paths = []
    with disk_errors(f"writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for part, share in zip(parts, shares, strict=True):
            paths.append(folder / part.file)
            _write(paths[-1], share, index)
    return paths


def _plain(text: str) -> str:
    """A text as a part of a file's name on any system."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:40] or "x"


def _file(name: str, data: bytes, read: Callable[[], bytes]) -> _File:
    return _File(member=Member(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data)), read=read)


def _rendered(folder: Path) -> list[_File]:
    names = [*OUTPUTS.values(), *SIGNED_FILES.values(), PROOF]
    paths = [folder / name for name in names if (folder / name).is_file()]
    return [_file(path.name, path.read_bytes(), path.read_bytes) for path in paths]


def _further(paths: Sequence[Path]) -> list[_File]:
    files: list[_File] = []
    for path in paths:
        if not path.is_file():
            raise UsageError(f"no file at {path}", advice="name a file that is to be laid in")
        name = f"{FURTHER}/{_plain(path.stem)}{_suffix(path)}"
        if any(each.member.name == name for each in files):
            raise UsageError(f"two files would be {name} in the package", advice="rename one of them")
        files.append(_file(name, path.read_bytes(), path.read_bytes))
    return files


def _suffix(path: Path) -> str:
    return path.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", path.suffix) else ""


def _evidence(workspace: Workspace, identity: str) -> list[_File]:
    """By cell and attempt. Names of evidence come from suites: they are narrowed; one that is taken gets its digest."""
    shorts = {cell["id"]: str(cell["short"]) for cell in row_of(workspace.journal, identity).plan["cells"]}
    files: dict[str, _File] = {}
    for row in sorted(workspace.journal.files(identity), key=lambda row: (row.cell, row.number, row.name, row.sha256)):
        stem, suffix = _plain(Path(row.name).stem), _suffix(Path(row.name))
        place = f"{EVIDENCE}/{_plain(shorts.get(row.cell, 'campaign'))}/{row.number}"
        name = f"{place}/{stem}{suffix}"
        if name in files:
            name = f"{place}/{stem}-{row.sha256[:16]}{suffix}"
        member = Member(name=name, sha256=row.sha256, size=row.size)
        files.setdefault(name, _File(member=member, read=functools.partial(workspace.store.get, row.sha256)))
    return list(files.values())


def _shares(files: Sequence[_File], limit: int) -> list[list[_File]]:
    """The files of each archive, in their order; the lists that every archive holds have their room."""
    lists = sum(2 * len(each.member.name.encode()) + 300 for each in files) + 4096
    shares: list[list[_File]] = [[]]
    room = limit - lists
    for each in files:
        size = len(_deflated(each.read())) + 2 * len(each.member.name.encode()) + _OVERHEAD
        if size > limit - lists:
            raise UsageError(
                f"{each.member.name} takes {size} bytes in an archive, and the limit is {limit}",
                advice="--limit with more MiB, or --no-evidence",
            )
        if size > room:
            shares.append([])
            room = limit - lists
        shares[-1].append(each)
        room -= size
    return shares


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _write(path: Path, share: Sequence[_File], index: bytes) -> None:
    sums = "".join(f"{each.member.sha256}  {each.member.name}\n" for each in share)
    sums += f"{hashlib.sha256(index).hexdigest()}  {INDEX}\n"
    files = {each.member.name: each for each in share}
    part = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        lists = {INDEX: index, SUMS: sums.encode()}
        for name in (*lists, *files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.create_system = 0o100644 << 16, 3
            archive.writestr(entry, lists[name] if name in lists else files[name].read(), zipfile.ZIP_DEFLATED, 9)
    part.replace(path)
