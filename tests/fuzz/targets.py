"""What is fuzzed: each reader of foreign bytes, the errors that it may end with, and bytes to begin with."""

from __future__ import annotations

import datetime
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from harness.campaigns.unpacking import unpack
from harness.certify.code import check_code
from harness.clients.texts import texts_of
from harness.errors import DefinitionError, InfrastructureError, UsageError
from harness.evidence.reading import _attempt, _observation, _readable
from harness.evidence.tables import JsonText
from harness.reading.kinds import KINDS
from harness.reading.parsing import validate
from harness.reading.source import read_source
from harness.reading.workbooks import read_workbook
from harness.register.status import StatusList
from harness.scan import elf
from harness.scan.exports import exported_symbols
from harness.scan.gathering import Gatherer
from harness.scan.limits import Unreadable
from harness.scan.listing import inputs_of
from harness.signing import sm2
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.keys import PublicKey, read_public
from harness.signing.tree import InclusionProof, NoCheckpoint, includes, read_note
from harness.signing.trust import Trust, read_trust
from harness.verification.fetching import _keep
from harness.verification.opening import open_envelope
from tests.elves import elf as made_elf
from tests.hostile_inputs import READ, UNREAD
from tests.inputs import deb, pack, tar
from tests.unit.test_scan_rules import RULES, TARGETS

ROOT = Path(__file__).parents[2]
SCRATCH = Path(tempfile.mkdtemp(prefix="harness-fuzz-"))
GATHERER = Gatherer(RULES, TARGETS)
#: Seeds of the scan are these small ones: a fuzzer does not get far with megabytes.
SMALL = 4096


@dataclass(frozen=True, kw_only=True)
class Target:
    """``read`` takes bytes of anyone. ``errors``: what it may raise; everything else is a fault of the harness."""

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()
    seeds: Callable[[], Sequence[bytes]] = field(default=lambda: [b""])


def _file(data: bytes, name: str) -> Path:
    path = SCRATCH / name
    path.write_bytes(data)
    return path


def _key() -> PublicKey:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return read_public("fuzz", pem)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _elf(data: bytes) -> None:
    exported_symbols(data)
    parsed = elf.read(data)
    for versions in parsed.versions.values():
        elf.highest(versions, "GLIBC_")


def _scan(data: bytes) -> None:
    (given,), _ = inputs_of(_file(data, "input"), "input")
    GATHERER.gather(given)


def _definition(data: bytes) -> None:
    kind, _, text = data.partition(b"\n")
    names = list(KINDS)
    validate(read_source(_file(text, "definition.yaml")), KINDS[names[sum(kind) % len(names)]])


def _definitions() -> list[bytes]:
    files = [*ROOT.glob("targets/*/*.yaml"), *ROOT.glob("matrices/*/*.yaml"), *ROOT.glob("suites/*/*/suite.yaml")]
    return [bytes([i % 250]) + b"\n" + path.read_bytes() for i, path in enumerate(sorted(files)[:60])]


def _proof(data: bytes) -> None:
    InclusionProof.read(_text(data))
    includes(b"x", 1, 3, [data[:32], data[32:64]], data[-32:])


def _sm2(data: bytes) -> None:
    sm2.verify(sm2.PREFIX + data[:64], data[64:80], data[80:])


def _envelope(data: bytes) -> None:
    open_envelope(_file(data, "x.dsse.json"), "application/vnd.in-toto+json", Trust())


def _bundle(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        unpack(_file(data, "x.bundle.tar"), Path(folder))


def _answer(data: bytes) -> None:
    head, _, content = data.partition(b"\n\n")
    lines = [line.partition(b":")[::2] for line in head.splitlines()]
    answer = httpx.Response(200, headers=[(a, b) for a, b in lines if a], content=content)
    texts_of(answer)
    _keep(httpx.Response(200, content=content, request=httpx.Request("GET", "http://x/")), SCRATCH / "kept")


#: The columns of an attempt and of a result; those that hold JSON.
_COLUMNS = (
    "cell number state started verdict finished cause message facts suite case result seconds skip_reason detail "
    "measurements evidence".split()
)
_JSON = ("facts", "measurements", "evidence")


def _row(data: bytes) -> None:
    texts = data.decode(errors="replace").split("\n")
    values: dict[str, Any] = dict(zip(_COLUMNS, [*texts, *[""] * len(_COLUMNS)], strict=False))
    for make in (_attempt, _observation):
        with _readable("a row", "fuzz"):
            held = JsonText()
            make({k: held.process_result_value(v, None) if k in _JSON else v for k, v in values.items()})  # type: ignore[arg-type, operator]


def _workbooks() -> list[bytes]:
    import openpyxl

    out = io.BytesIO()
    book = openpyxl.Workbook()
    book.worksheets[0].append(["os", "cpu", 22, 1.5, None, "=A1"])
    book.save(out)
    return [out.getvalue()]


def _bundles() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("manifest.json", b'{"bundle": 1, "files": {"a": "0"}}'), ("a", b"x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return [out.getvalue()]


def _inputs() -> list[bytes]:
    made = [make() for name, make in {**READ, **UNREAD}.items() if "names" not in name and "members" not in name]
    members = [("a.py", b"import os\n"), ("lib/x.so", made_elf(machine="x86_64"))]
    kinds = ("x.zip", "x.tar.gz", "x.tar", "x.jar")
    return [data for data in made if len(data) <= SMALL] + [
        *(pack(name, members) for name in kinds),
        deb("t_1_amd64.deb", members),
        tar(members, "w:xz"),
    ]


_ELVES = ({}, {"versions": {"libc.so.6": ["GLIBC_2.34"]}}, {"x86_level": 3}, {"abi_kernel": (4, 19), "kind": "object"})
_NOTE = b"example.org/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 example.org/log AAAAAAAA\n"
_PROOF = b"c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n\n" + _NOTE
_ENVELOPE = json.dumps(
    {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "0", "sig": "AA=="}]},
    separators=(",", ":"),
).encode()

TARGETS_BY_NAME: dict[str, Target] = {
    "dsse": Target(read=lambda data: Envelope.read(_text(data)), errors=(NoEnvelope,), seeds=lambda: [_ENVELOPE]),
    "qr": Target(
        read=lambda data: check_code(_text(data), [_key()], None, datetime.date(2026, 1, 1)),
        seeds=lambda: [b"https://example.org/c/XC-2026-0001#AAAA.BBBB", b"XC1*1*2*3"],
    ),
    "checkpoint": Target(read=lambda data: read_note(_text(data)), errors=(NoCheckpoint,), seeds=lambda: [_NOTE]),
    "public-key": Target(read=lambda data: read_public("x", data), errors=(UsageError,), seeds=lambda: [_key().pem]),
    "sm2": Target(read=_sm2, seeds=lambda: [b"\1" * 80 + b"\x30\x06\x02\x01\x01\x02\x01\x01"]),
    "elf": Target(
        read=_elf,
        errors=(elf.NoElf, Unreadable),
        seeds=lambda: [made_elf(**{"machine": "x86_64", **more}) for more in _ELVES],
    ),
    "scan": Target(read=_scan, seeds=_inputs),
    "definitions": Target(read=_definition, errors=(DefinitionError,), seeds=_definitions),
    "status-list": Target(
        read=StatusList.read,
        errors=(ValueError, KeyError, TypeError),
        seeds=lambda: [b'{"certificates":{},"issued":"2026-01-01T00:00:00Z","issuer":"x","sequence":1}'],
    ),
    "inclusion": Target(read=_proof, errors=(NoCheckpoint,), seeds=lambda: [_PROOF]),
    "envelope": Target(read=_envelope, seeds=lambda: [_ENVELOPE]),
    "trust": Target(
        read=lambda data: read_trust(_file(data, "trust")),
        errors=(UsageError,),
        seeds=lambda: [Trust().text().encode()],
    ),
    "bundle": Target(read=_bundle, errors=(UsageError, InfrastructureError), seeds=_bundles),
    "http": Target(
        read=_answer,
        errors=(httpx.HTTPError,),
        seeds=lambda: [b'content-type: application/json\n\n{"a": ["b", {"c": "d"}]}', b"content-encoding: gzip\n\nx"],
    ),
    "workbook": Target(
        read=lambda data: read_workbook(Path("x.xlsx"), data, []), errors=(DefinitionError,), seeds=_workbooks
    ),
    "rows": Target(
        read=_row,
        errors=(InfrastructureError,),
        seeds=lambda: [b'c\n1\nfinished\n2026\nconformant\n2026\n\nx\n{}\ns\nk\npass\n1\n\nd\n[]\n["a"]'],
    ),
}
