"""A bundle is taken apart without trust in whoever packed it: looked through first, then written below one folder."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InfrastructureError, UsageError
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import PublicKey
from harness.system.files import digest_of_file, open_plain, read_plain

#: Members of a bundle, bytes of the records before a member's header, and of the manifest.
MOST_MEMBERS = 200_000
MOST_RECORDS = 16_384
MOST_MANIFEST = 64_000_000
#: Bytes that stay free on the disk of the workspace when a bundle is unpacked.
SPARE = 1 << 30
FORM = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.dsse.json"
PAYLOAD_TYPE = "application/vnd.xinchuang-harness.bundle+json"
_BLOCK = tarfile.BLOCKSIZE


def is_inside(name: str) -> bool:
    """Whether a member's name is a plain path below the bundle's folder, of characters that can be printed."""
    parts = name.split("/")
    return name.isprintable() and len(name) <= 4096 and not any(part in ("", ".", "..") for part in parts)


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("no plain path of printable characters inside the bundle")
    return name


MemberName = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    bundle: int
    harness: str = Field(pattern=r"^[0-9A-Za-z.+_-]{1,64}$")
    campaign: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$")
    plan: Sha256
    matrix: MemberName = "matrix/matrix.yaml"  #: below ``definitions``
    options: dict[str, Any]
    files: dict[MemberName, Sha256]  #: member -> SHA-256


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """The manifest, its SHA-256, and the keys of those known here who signed it."""

    manifest: Manifest
    digest: str
    signed_by: tuple[PublicKey, ...] = ()
    others: int = 0  #: signatures by keys that are not known here


def unpack(path: Path, folder: Path, trust: tuple[PublicKey, ...] = ()) -> Unpacked:
    """Unpack a bundle into ``folder``, which must be empty, and check every byte of it against its manifest.

    Raises:
        UsageError: it is no bundle, not what its manifest says, of another form, or a signature of a known key does not
            hold.
        InfrastructureError: the disk has no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open_plain(path) as file:
            size = path.stat().st_size
            _room(folder, size)
            _look_through(file, size)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for entry in tar:
                    _extract(tar, entry, folder)
        data = read_plain(folder / MANIFEST, MOST_MANIFEST)
    except (OSError, tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise _no_bundle(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    manifest = _manifest(path, data)
    check(folder, manifest, path)
    signed_by, others = _signers(folder, data, trust)
    return Unpacked(manifest=manifest, digest=digest_of_file(folder / MANIFEST), signed_by=signed_by, others=others)


def check(folder: Path, manifest: Manifest, path: Path) -> None:
    """Hold an unpacked bundle against its manifest. ``path``: the bundle, for the message.

    Raises:
        UsageError: files are missing, were added or changed.
    """
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()} - {MANIFEST, SIGNATURE}
    wrong = sorted(there ^ manifest.files.keys())
    wrong += [
        name for name in sorted(there & manifest.files.keys()) if digest_of_file(folder / name) != manifest.files[name]
    ]
    if wrong:
        shown = ", ".join(ascii(name)[1:-1] if not name.isprintable() else name for name in wrong[:5])
        raise UsageError(f"{path} is not what its manifest says: {shown}", advice="get it again from whoever made it")


def _no_bundle(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is no bundle: {why}", advice="make one with: harness bundle")


def _room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise InfrastructureError(
            f"the bundle needs {size} bytes below {folder}, and {SPARE} must stay free; there are {free}",
            advice="free space, or name a workspace on another disk: --workspace",
        )


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"][:3])
        raise _no_bundle(path, f"its manifest, {place[:200]}: {first['msg'].splitlines()[0][:200]}") from error
    if manifest.bundle != FORM:
        raise UsageError(
            f"{path} is a bundle of form {manifest.bundle}, made by harness {manifest.harness}; this one reads {FORM}",
            advice="use the version that made it",
        )
    return manifest


def _signers(folder: Path, manifest: bytes, trust: tuple[PublicKey, ...]) -> tuple[tuple[PublicKey, ...], int]:
    """Keys of ``trust`` that signed the manifest, and how many signatures are by other keys.

    Raises:
        UsageError: the signature is malformed or of another manifest, or one of a known key does not hold.
    """
    path = folder / SIGNATURE
    if not path.is_file():
        return (), 0
    advice = "get it again from whoever made it"
    try:
        envelope = Envelope.read(read_plain(path, 2 * MOST_MANIFEST).decode())
    except (NoEnvelope, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the signature of the bundle cannot be read: {error}", advice=advice) from error
    if envelope.payload != manifest or envelope.payload_type != PAYLOAD_TYPE:
        raise UsageError("the signature of the bundle is one of something else", advice=advice)
    known = {key.keyid: key for key in trust}
    holding = []
    for signature in envelope.signatures:
        key = known.get(signature.keyid)
        if key is not None and not key.holds(envelope.signed_bytes, signature.signature):
            raise UsageError(f"the signature of the bundle by {key.name} does not hold", advice=advice)
        holding += [key] if key is not None else []
    return tuple(dict.fromkeys(holding)), len(envelope.signatures) - len(holding)


def _look_through(file: BinaryIO, size: int) -> None:
    """Read the headers alone. A sparse entry of a few bytes may claim terabytes, and a record of names gigabytes: what
    the bundle does not hold itself is not written.

    Raises:
        TarError: a member is no plain file, or claims more than the bundle holds.
    """
    at = members = 0
    after_records, larger = False, None
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or block == bytes(_BLOCK):
            return
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        records = entry.type == tarfile.XHDTYPE
        if not records and entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise tarfile.ReadError(f"{entry.name!r} is no plain file of its own inside the bundle")
        length = entry.size if larger is None else larger
        at += _BLOCK
        if length < 0 or at + length > size:
            raise tarfile.ReadError(f"{entry.name!r} claims {length} bytes, more than the bundle holds")
        if records and (after_records or length > MOST_RECORDS):
            raise tarfile.ReadError(f"{entry.name!r}: too many records before a member")
        after_records, larger = records, _size_in(file.read(length)) if records else None
        at += -(-length // _BLOCK) * _BLOCK
        members += 1
        if members > 2 * MOST_MEMBERS:
            raise tarfile.ReadError(f"more than {MOST_MEMBERS} members")


def _size_in(records: bytes) -> int | None:
    """The size in the records before a header (pax: ``LENGTH KEY=VALUE\\n``); None where there is none.

    Raises:
        TarError: they are of another form, or say what no member of a bundle has (sparse parts, another encoding).
    """
    size: int | None = None
    while records:
        length, blank, _ = records[:12].partition(b" ")
        if not blank or not length.isdigit() or not length.isascii():
            raise tarfile.ReadError("a record that is none")
        record, records = records[: int(length)], records[int(length) :]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n") or key not in (b"path", b"size"):
            raise tarfile.ReadError(f"a record {key[:40]!r} that no member of a bundle has")
        if key == b"size":
            if not value[:-1].isdigit():
                raise tarfile.ReadError("a size that is no number")
            size = int(value)
    return size


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write a member below ``folder``. A bundle has plain files only, so nothing else is taken from one.

    Not ``extractall(filter="data")``: Python 3.11 has it from 3.11.4 on, and Debian 12 has 3.11.2.

    Raises:
        TarError: it is no plain file, or would lie elsewhere.
    """
    target = folder.joinpath(entry.name) if is_inside(entry.name) else folder
    source = tar.extractfile(entry) if entry.isreg() and not entry.issparse() else None
    if source is None or target.exists():
        raise tarfile.TarError(f"{entry.name!r} is no plain file of its own inside the bundle")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o755 if entry.mode & 0o100 else 0o644)
