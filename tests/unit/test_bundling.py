"""A bundle is taken apart without trust in whoever packed it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.campaigns import bundling, unpacking
from harness.campaigns.bundling import replay
from harness.campaigns.options import RunOptions
from harness.campaigns.unpacking import PAYLOAD_TYPE, SIGNATURE, Manifest, unpack
from harness.certify.envelopes import Signing
from harness.containers.cache import is_brought_image, is_own_image, note_brought_image, note_own_image
from harness.errors import DefinitionError, InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.issuing.outcome import Progress
from harness.planning import expand
from harness.reading.read import read
from harness.signing.dsse import Envelope
from harness.signing.keys import KeyStore

GOOD: dict[str, Any] = {"bundle": 1, "harness": "0", "campaign": "c", "plan": "0" * 64, "options": {}}
Member = tuple[tarfile.TarInfo, bytes]


def pack(path: Path, *members: Member, before: bytes = b"", signature: bytes = b"", **manifest: object) -> Path:
    """A bundle of these members, with a manifest that fits them but for ``manifest``; ``before`` comes first."""
    files = {entry.name: hashlib.sha256(data).hexdigest() for entry, data in members}
    text = json.dumps({**GOOD, "files": files, **manifest}).encode()
    first = [(tarfile.TarInfo("manifest.json"), text)]
    first += [(tarfile.TarInfo(SIGNATURE), signature)] if signature else []
    with path.open("wb") as out:
        out.write(before)
        with tarfile.open(fileobj=out, mode="w") as tar:
            for entry, data in (*first, *members):
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return path


def member(name: str, **more: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_what_could_be_executed_still_can(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar", (member("run.sh", mode=0o755), b"#!/bin/sh\n"), (member("a/b", mode=0o644), b"x"))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/run.sh").stat().st_mode & 0o111 == 0o111
    assert (tmp_path / "out/a/b").stat().st_mode & 0o111 == 0


def test_long_and_chinese_names_are_taken(tmp_path: Path) -> None:
    names = ["definitions/" + "长" * 60 + "/" + "x" * 200, "definitions/矩阵/matrix.yaml"]
    path = pack(tmp_path / "b.tar", *((member(name), b"x" * 600) for name in names))
    unpack(path, tmp_path / "out")
    assert files_below(tmp_path / "out") == sorted([*names, "manifest.json"])


ODD = [
    member("/tmp/absolute"),
    member("../beside"),
    member("a/../../beside"),
    member("a/./b"),
    member("a//b"),
    member("manifest.json"),
    member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    member("hard", type=tarfile.LNKTYPE, linkname="manifest.json"),
    member("pipe", type=tarfile.FIFOTYPE),
    member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    member("folder", type=tarfile.DIRTYPE),
    member("sparse", type=tarfile.GNUTYPE_SPARSE),
    member("contiguous", type=tarfile.CONTTYPE),
    member("\x1b[31mred"),
    member("line\nfeed"),
    member("right\u202eleft"),
    member("sparse", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    member("encoding", pax_headers={"hdrcharset": "BINARY"}),
    member("records", pax_headers={"comment": "x" * 20_000}),
]


@pytest.mark.parametrize("entry", ODD, ids=lambda entry: f"{entry.name!a} {entry.type!r} {len(entry.pax_headers)}")
def test_only_plain_files_inside_are_taken(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    path = pack(tmp_path / "b.tar", (entry, b""), files={})
    with pytest.raises(UsageError, match="is no bundle: ") as caught:
        unpack(path, tmp_path / "w" / "out")
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))
    assert files_below(tmp_path) in (["b.tar"], ["b.tar", "w/out/manifest.json"])


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header of a tar by hand: what a library would not write."""
    fields = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0") + b"0" * 11 + b"\0"
    rest = kind + bytes(100) + b"ustar\x0000" + bytes(247)
    total = sum(fields) + 8 * 32 + sum(rest)
    return fields + b"%06o\0 " % total + rest


@pytest.mark.parametrize(
    "before",
    [
        header(b"claims", b"77777777777"),
        header(b"claims", b"\x80" + bytes(3) + struct.pack(">Q", 1 << 62)),
        header(b"negative", b"\xff" * 12),
        header(b"x", b"00000000036", b"x") + b"28 GNU.sparse.realsize=99999\n\n".ljust(512, b"\0"),
        header(b"x", b"00000000023", b"x") + b"19 size=9999999999\n".ljust(512, b"\0") + header(b"f", b"00000000000"),
        header(b"x", b"00000000012", b"x") + b"99999999 x".ljust(512, b"\0"),
        header(b"x", b"00000000012", b"x") + b"9 path=a\n".ljust(512, b"\0") + header(b"y", b"00000000000", b"x"),
        header(b"x", b"00000000012", b"g") + b"9 path=a\n".ljust(512, b"\0"),
        header(b"L", b"77777777777", b"L"),
        b"\xff" * 512,
    ],
    ids=range(10),
)
def test_what_a_bundle_does_not_hold_is_not_written(tmp_path: Path, before: bytes) -> None:
    path = pack(tmp_path / "b.tar", before=before)
    with pytest.raises(UsageError, match="is no bundle"):
        unpack(path, tmp_path / "out")
    assert files_below(tmp_path) == ["b.tar"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "missing", "empty"])
def test_a_bundle_is_a_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "b.tar"
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "missing": lambda: None, "empty": path.touch}[kind]()
    with pytest.raises(UsageError, match="is no bundle"):
        unpack(path, tmp_path / "out")


def test_the_disk_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "b.tar", (member("a"), b"x"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=unpacking.SPARE))
    with pytest.raises(InfrastructureError, match="must stay free"):
        unpack(path, tmp_path / "out")
    assert files_below(tmp_path) == ["b.tar"]


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": 99},
        {"bundle": "1"},
        {"campaign": "/some/folder/X"},
        {"campaign": "../../X"},
        {"campaign": ""},
        {"campaign": "\x1b[31m"},
        {"plan": "\x1b[31m"},
        {"harness": "0\n1"},
        {"matrix": "../../etc/passwd"},
        {"matrix": "/etc/passwd"},
        {"files": {"../x": "0" * 64}},
        {"files": {"x": "0"}},
        {"options": []},
        {"\x1b[31m": 1},
    ],
    ids=ascii,
)
def test_a_manifest_is_what_it_should_be(tmp_path: Path, change: dict[str, Any]) -> None:
    path = pack(tmp_path / "b.tar", **change)
    with pytest.raises(UsageError, match=r"no bundle|form 99") as caught:
        unpack(path, tmp_path / "out")
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))


@pytest.mark.parametrize(
    "options",
    [{"allow_expired": 5}, {"jobs": -1}, {"jobs": "x"}, {"mirror": "http://x/\x1b[31m"}, {"only": {"a": 1}}],
    ids=ascii,
)
def test_options_are_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the options that were kept are none"):
        RunOptions.kept(options)
    assert RunOptions.kept({}) == RunOptions()


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = pack(folder / "b.tar", (member("长" * 50), b"x"), (member("a/b"), b"y"))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(UsageError):
        unpack(path, folder / "out")
    assert all(name == "b.tar" or name.startswith("out/") for name in files_below(folder))


# --- who made it ---


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    store = KeyStore(tmp_path_factory.mktemp("keys") / "k")
    for name in ("maker", "other"):
        store.make(name, "ed25519", "long enough words")
    return Signing(store=store, names=("maker",), passphrase="long enough words")


def signed(path: Path, signing: Signing, *, kind: str = PAYLOAD_TYPE) -> Path:
    with tarfile.open(pack(path)) as tar:
        text = tar.extractfile("manifest.json").read()  # type: ignore[union-attr]
    return pack(path, signature=signing.sign(text, kind).text().encode())


def test_a_signed_bundle_names_who_made_it(tmp_path: Path, signing: Signing) -> None:
    maker, other = (signing.store.public_key(name) for name in ("maker", "other"))
    path = signed(tmp_path / "b.tar", signing)
    assert unpack(path, tmp_path / "1", (other, maker)).signed_by == (maker,)
    unknown = unpack(path, tmp_path / "2", (other,))
    assert (unknown.signed_by, unknown.others) == ((), 1)
    assert unpack(pack(tmp_path / "c.tar"), tmp_path / "3", (maker,)).signed_by == ()


def test_a_signature_of_something_else_is_refused(tmp_path: Path, signing: Signing) -> None:
    maker = signing.store.public_key("maker")
    good = signed(tmp_path / "b.tar", signing)
    with tarfile.open(good) as tar:
        text = tar.extractfile(SIGNATURE).read()  # type: ignore[union-attr]
    forged = Envelope.read(text.decode())
    other = Signing(store=signing.store, names=("other",), passphrase=signing.passphrase)
    wrong = other.sign(forged.payload, PAYLOAD_TYPE).text().replace(other.store.public_key("other").keyid, maker.keyid)
    cases = {
        "of something else": (
            pack(tmp_path / "1.tar", signature=text, harness="9"),
            signed(tmp_path / "2.tar", signing, kind="x"),
        ),
        "does not hold": (pack(tmp_path / "3.tar", signature=wrong.encode()),),
        "cannot be read": (
            pack(tmp_path / "4.tar", signature=text + b" "),
            pack(tmp_path / "5.tar", signature=b"\xff"),
        ),
    }
    for told, paths in cases.items():
        for number, path in enumerate(paths):
            with pytest.raises(UsageError, match=told):
                unpack(path, tmp_path / told / str(number), (maker,))


# --- what is done with it ---


class Images:
    """Stands at the edge to the engine; notes what it was asked for."""

    loaded: list[str]

    def __init__(self, _workspace: str) -> None:
        pass

    def load_image(self, path: Path, _before_naming: object) -> None:
        Images.loaded.append(path.name)


@pytest.fixture
def bundled(folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Packs the small matrix, with images, and replays it; whatever reaches the engine or a campaign is noted."""
    Images.loaded = []
    ran: list[RunOptions] = []
    monkeypatch.setattr(bundling, "Engine", Images)

    def run(_folder: Path, _workspace: Workspace, options: RunOptions, _progress: Progress, **_more: object) -> Any:
        ran.append(options)
        raise UsageError("far enough")

    monkeypatch.setattr(bundling, "run_campaign", run)
    plan = expand(read(folder.root))
    files = [
        (member(f"definitions/matrix/{name}"), (folder.root / name).read_bytes())
        for name in ("matrix.yaml", "application.yaml")
    ]
    images = [(member(f"images/{number}.tar"), b"image") for number in (0, 1)]

    def work(*more: Member, trust: tuple[Any, ...] = (), require: bool = False, **manifest: object) -> list[str]:
        notes: list[str] = []
        path = pack(tmp_path / "b.tar", *files, *images, *more, **{"plan": plan.digest, **manifest})
        with pytest.raises((UsageError, DefinitionError)) as caught:
            replay(
                path, Workspace(tmp_path / "w"), RunOptions(), Progress(note=notes.append), trust=trust, signed=require
            )
        return [*notes, str(caught.value)]

    return SimpleNamespace(work=work, ran=ran, root=tmp_path)


def test_images_are_loaded_once_the_plan_was_proved(bundled: Any) -> None:
    assert "as another plan" in bundled.work(plan="1" * 64)[-1]
    assert "fault" in bundled.work((member("definitions/matrix/compat/lifecycle/suite.yaml"), b"x: 1"))[-1]
    assert "is not what its manifest says" in bundled.work(files={})[-1]
    assert "options" in bundled.work(options={"jobs": -1})[-1]
    assert (Images.loaded, bundled.ran) == ([], [])
    assert not (bundled.root / "w" / "replays").exists() or len(list((bundled.root / "w/replays").iterdir())) == 1
    assert "far enough" in bundled.work()[-1]
    assert Images.loaded == ["0.tar", "1.tar"]
    assert bundled.ran == [RunOptions(brought_images=True)]


def test_everything_of_a_bundle_lies_below_the_workspace(bundled: Any) -> None:
    before = files_below(bundled.root)
    for campaign in ("/tmp/ESC5", "../../../ESC4", "a/b"):
        assert "no bundle" in bundled.work(campaign=campaign)[-1]
    bundled.work()
    bundled.work()
    new = set(files_below(bundled.root)) - set(before) - {"b.tar"}
    assert new
    assert all(name.startswith("w/") for name in new)
    (kept,) = (bundled.root / "w/replays").iterdir()
    (kept / "definitions/matrix/matrix.yaml").write_text("matrix: other\n")
    assert "is not what its manifest says: definitions/matrix/matrix.yaml" in bundled.work()[-1]


def test_who_made_it_is_told_and_may_be_demanded(bundled: Any, signing: Signing) -> None:
    maker = signing.store.public_key("maker")
    assert "the bundle is not signed: who made it is not known" in bundled.work()
    refused = bundled.work(require=True, trust=(maker,))
    assert refused[-1].startswith("the bundle is not signed\n")
    assert len(bundled.ran) == 1


# --- images that it brought ---

NAME = "harness-base:debian-12-amd64-x"


def test_an_image_that_a_bundle_brought_is_for_its_replay_alone(tmp_path: Path) -> None:
    note_brought_image(tmp_path, NAME, "sha256:1")
    note_brought_image(tmp_path, "harness-env:1", "sha256:2")
    for _ in range(2):
        assert is_own_image(tmp_path, NAME, "sha256:1", brought=True)
        assert not is_own_image(tmp_path, NAME, "sha256:1")
    assert is_brought_image(tmp_path, NAME, "sha256:1")
    assert not is_brought_image(tmp_path, NAME, "sha256:2")
    note_own_image(tmp_path, NAME, "sha256:3")  # made here since
    assert is_own_image(tmp_path, NAME, "sha256:3")
    assert not is_own_image(tmp_path, NAME, "sha256:1", brought=True)
    assert not is_brought_image(tmp_path, NAME, "sha256:1")


def test_a_manifest_is_written_as_it_is_read() -> None:
    manifest = Manifest(**GOOD, files={"a/长": "0" * 64})
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
