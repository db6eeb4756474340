"""Files, packages and archives made from examples of rules: ``app.jar/lib/x.so`` is a member of ``app.jar``."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from harness.model.definitions import ExampleFile
from tests.elves import elf

CONTAINER = re.compile(r"^(?P<outer>[^/]*\.(?:zip|jar|war|ear|whl|tgz|tar|tar\.gz|deb))/(?P<inner>.+)$")


def content(one: ExampleFile) -> bytes:
    return elf(**one.elf) if one.elf is not None else (one.text or "").encode()


def lay_out(files: Sequence[ExampleFile], root: Path) -> Path:
    """Write the files of an example below ``root``."""
    containers: dict[str, list[tuple[str, bytes]]] = {}
    for one in files:
        found = CONTAINER.match(one.file)
        if found is None:
            path = root / one.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(one))
        else:
            containers.setdefault(found["outer"], []).append((found["inner"], content(one)))
    for name, members in containers.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(name, members))
    return root


def pack(name: str, members: Sequence[tuple[str, bytes]]) -> bytes:
    """A container with these members, of the kind that its name says. A member ``truncated`` cuts it off."""
    if name.endswith(".deb"):
        return deb(name, members)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        data = tar(members, "w" if name.endswith(".tar") else "w:gz")
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for inner, value in members:
                archive.writestr(inner, value)
        data = out.getvalue()
    return data[: len(data) // 2] if any(inner == "truncated" for inner, _ in members) else data


def tar(members: Sequence[tuple[str, bytes]], mode: str = "w") -> bytes:
    """A tar; content ``link:TARGET`` makes a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for inner, value in members:
            entry = tarfile.TarInfo(inner)
            if value.startswith(b"link:"):
                entry.type, entry.linkname = tarfile.SYMTYPE, value[5:].decode()
                archive.addfile(entry)
            else:
                entry.size = len(value)
                archive.addfile(entry, io.BytesIO(value))
    return out.getvalue()


def deb(name: str, members: Sequence[tuple[str, bytes]]) -> bytes:
    """A Debian package; name and architecture as its file is called: ``NAME_VERSION_ARCHITECTURE.deb``."""
    package, version, architecture = name.rpartition("/")[2].removesuffix(".deb").split("_")
    control = f"Package: {package}\nVersion: {version}\nArchitecture: {architecture}\n".encode()
    parts = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", tar([("./control", control)], "w:gz")),
        ("data.tar.xz", tar([(f"./{inner}", value) for inner, value in members], "w:xz")),
    ]
    out = b"!<arch>\n"
    for member, data in parts:
        out += f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out
