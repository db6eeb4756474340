"""Archives of container images that others made, as ``docker save`` writes them: read without the names in them.

An archive says by what names the engine shall know its images. One that names the harness's own base image would
replace it for every later product, so names are taken out on the way to the engine, and images are known by their id.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors

from harness.errors import UsageError
from harness.system.archives import DAMAGED, Member
from harness.system.canonical import read_json

_PIECE = 1 << 20
_LOADED = re.compile(r"^Loaded image(?:\(s\))?(?: ID)?: (.+)$", re.MULTILINE)
#: Longest list of images that is read.
_MOST = 16 << 20


def names_in(path: Path) -> list[str]:
    """The names (``RepoTags``) in an archive.

    Raises:
        UsageError: it is no such archive.
    """
    with _opened(path) as tar:
        for member in tar:
            if member.name == "manifest.json" and member.isfile():
                entries = _json(tar, member, path)
                if isinstance(entries, list):
                    return [
                        name for entry in entries if isinstance(entry, dict) for name in entry.get("RepoTags") or ()
                    ]
    return []


def loaded_names(answers: Iterable[Mapping[str, Any]]) -> list[str]:
    """The images that an engine says it has loaded: ids, or names where it gives those. Docker names several in one
    answer, a line each; Podman joins them by commas.

    Raises:
        docker.errors.APIError: the engine refuses the archive.
    """
    names: list[str] = []
    for answer in answers:
        if "errorDetail" in answer or "error" in answer:
            detail = answer.get("errorDetail") or {}
            raise docker.errors.APIError(str(detail.get("message") or answer.get("error")))
        for listed in _LOADED.findall(str(answer.get("stream", ""))):
            names += [name.strip() for name in listed.split(",") if name.strip()]
    return names


def holds(container: Any, path: str) -> bool:
    """Whether a container of the SDK has a file, a link or a folder at ``path``. Raises docker.errors.APIError."""
    try:
        container.get_archive(path)
    except docker.errors.NotFound:
        return False
    return True


def without_names(path: Path) -> Iterator[bytes]:
    """The archive in pieces, without the names of its images.

    Raises:
        UsageError: it is no such archive.
    """
    with _opened(path) as tar:
        for member in tar:
            if member.name == "repositories":  # names of the first version of the format
                continue
            if member.name in ("manifest.json", "index.json") and member.isfile():
                data = json.dumps(_nameless(_json(tar, member, path))).encode()
                member.size = len(data)
                yield from _entry(member, io.BytesIO(data))
            else:
                file = tar.extractfile(member) if member.isfile() else None
                yield from _entry(member, file)
        yield bytes(2 * tarfile.BLOCKSIZE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r|*", tarinfo=Member) as tar:
            yield tar
    except DAMAGED as error:
        raise UsageError(
            f"{path.name} is no archive of container images: {error or type(error).__name__}",
            advice="write it with: docker save NAME -o FILE",
        ) from error


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> Any:
    file = tar.extractfile(member)
    if file is None or member.size > _MOST:
        raise tarfile.ReadError(f"{member.name} is not what it should be")
    return read_json(file.read())


def _nameless(value: Any) -> Any:
    """A list of images without their names: of ``docker save``, or of the OCI image layout (image-layout.md)."""
    if isinstance(value, list):
        return [{**entry, "RepoTags": None} if isinstance(entry, dict) else entry for entry in value]
    if isinstance(value, dict):
        manifests = [
            {key: kept for key, kept in entry.items() if key != "annotations"} if isinstance(entry, dict) else entry
            for entry in value.get("manifests") or ()
        ]
        return {**value, "manifests": manifests}
    return value


def _entry(member: tarfile.TarInfo, data: Any) -> Iterator[bytes]:
    yield member.tobuf(tarfile.PAX_FORMAT)
    if data is None:
        return
    while piece := data.read(_PIECE):
        yield piece
    yield bytes(-member.size % tarfile.BLOCKSIZE)
