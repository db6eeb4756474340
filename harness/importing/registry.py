"""Images of a registry: a tag is resolved to a digest once, and only the digest is kept."""

from __future__ import annotations

import contextlib
import io
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker.errors

from harness.attest.architecture import NAMES, host_architecture
from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError, UsageError
from harness.importing.archives import ARCHITECTURES
from harness.importing.entries import ATTESTED, Wanted, demand, draft
from harness.importing.facts import facts_of
from harness.importing.importing import Import, Prove, in_turn, result_of
from harness.importing.trees import Tree
from harness.system.printable import one_line

TAG = "harness-import"


def import_image(reference: str, wanted: Wanted, prove: Prove, engine: Engine, cache: Path) -> Import:
    """Import ``REGISTRY/NAME:TAG`` or ``REGISTRY/NAME@sha256:DIGEST``. Logins are those that ``docker login`` has kept.

    Raises:
        UsageError: it is no such reference, the registry has no image of it for the architecture, or no machine can be
            made of that.
        AttestationMismatch: it is not what it is said to be.
        InfrastructureError: the registry or the engine refuses.
    """
    name = _registry_and_name(reference)
    digest, architectures = resolved(engine, reference)
    architecture = _chosen(reference, architectures, wanted.architecture)
    pinned = f"{name}@{digest}"
    tag = f"{TAG}:{secrets.token_hex(6)}"
    tree = Tree()
    try:
        engine.pull(pinned, NAMES[architecture].docker, tag)
        with _exported(engine, tag) as stream:
            tree.add(stream, reference)
        facts = facts_of(tree, reference)
        if facts.architecture != architecture:
            raise UsageError(
                f"{reference}: the image says that it is of {architecture}, its programs are of {facts.architecture}",
                advice="ask whoever made the image; nothing was written",
            )
        demand(wanted, facts, tree, reference)
        with in_turn(cache):
            source = f"{ATTESTED}: {one_line(reference, 200)}, resolved to {digest}"
            entry = draft(wanted, facts, "pulled", pinned, source)
            prove(entry.system, architecture)
            entry.write()
    finally:
        with contextlib.suppress(InfrastructureError), engine_errors(f"removing {tag}"):
            if engine.image_id(tag) is not None:
                engine.client.images.remove(tag)
    return result_of(entry, facts, pinned)


def _registry_and_name(reference: str) -> str:
    """Registry and name of a reference, without tag and digest.

    Raises:
        UsageError: it names no registry, whose place each engine may choose otherwise.
    """
    plain, at, digest = reference.partition("@")
    if at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise UsageError(
            f"{reference} has no digest behind its @: expected sha256: and 64 hexadecimal digits",
            advice="the registry shows it, and so does: docker images --digests",
        )
    head, _, last = plain.rpartition("/")
    registry = plain.partition("/")[0]
    if not head or not ("." in registry or ":" in registry or registry == "localhost") or any(map(str.isspace, plain)):
        raise UsageError(
            f"{reference} names no registry: expected REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST",
            advice="for example: docker.io/library/debian:12",
        )
    return f"{head}/{last.partition(':')[0]}"


def resolved(engine: Engine, reference: str) -> tuple[str, tuple[str, ...]]:
    """The digest (``sha256:…``) that a reference has now, and the architectures of its Linux images by our names.

    Raises:
        UsageError: the registry has no such image.
        InfrastructureError: the registry or the engine does not answer.
    """
    if engine.is_podman:  # its Docker interface does not ask registries
        digest = reference.partition("@")[2]
        if digest:
            return digest, ()
        raise UsageError(f"Podman resolves no tag: {reference}", advice="give the digest: REGISTRY/NAME@sha256:DIGEST")
    try:
        with engine_errors(f"asking the registry for {reference}"):
            answer: dict[str, Any] = engine.client.api.inspect_distribution(reference)  # type: ignore[no-untyped-call]
    except InfrastructureError as error:
        cause = error.__cause__
        words = str(cause).lower()
        if "invalid reference format" in words:
            raise UsageError(
                f"{reference} is no name of an image: {one_line(str(getattr(cause, 'explanation', '') or cause), 200)}",
                advice="names are in lower-case letters: REGISTRY/NAME:TAG",
            ) from error
        if isinstance(cause, docker.errors.NotFound) or re.search(r"manifest unknown|not found|\b404\b", words):
            raise UsageError(
                f"the registry has no {reference}", advice="check name and tag; a private registry needs: docker login"
            ) from error
        raise InfrastructureError(
            error.message, advice="check the registry and the login: docker login; then repeat"
        ) from error
    platforms = [p for p in answer.get("Platforms") or () if p.get("os", p.get("OS", "linux")) == "linux"]
    names = [str(platform.get("architecture", platform.get("Architecture", ""))) for platform in platforms]
    return str(answer["Descriptor"]["digest"]), tuple(dict.fromkeys(ARCHITECTURES.get(name, name) for name in names))


def _chosen(reference: str, architectures: Sequence[str], wanted: str) -> str:
    """The architecture to import: what is wanted, the only one, or this machine's own.

    Raises:
        UsageError: there is no image of it, or nothing says which.
    """
    fit = [each for each in architectures if each in NAMES]
    shown = ", ".join(architectures) or "none that is named"
    if wanted and architectures and wanted not in architectures:
        raise UsageError(f"{reference} has no image of {wanted}, but of: {shown}", advice="give --arch, or another tag")
    if wanted and wanted not in NAMES:
        raise UsageError(
            f"nothing runs {wanted} here ({', '.join(NAMES)} do)", advice="a lab host serves it: hosts.yaml"
        )
    if wanted:
        return wanted
    if len(fit) == 1:
        return fit[0]
    if host_architecture() in fit:
        return host_architecture()
    raise UsageError(f"{reference} has images of: {shown}", advice="say which: --arch ARCHITECTURE")


@contextlib.contextmanager
def _exported(engine: Engine, image: str) -> Iterator[Any]:
    """All files of an image as a tar archive; its container is never started."""
    name = f"harness-export-{secrets.token_hex(6)}"
    try:
        with engine_errors(f"exporting {image}"):
            container = engine.client.containers.create(
                image, ["true"], name=name, labels=engine.labels("build", name, "export")
            )
            pieces = engine.client.api.export(str(container.id), chunk_size=1 << 20)
        yield io.BufferedReader(_Pieces(pieces), 1 << 20)
    finally:
        engine.remove_container(name)


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with engine_errors("exporting an image"):
            self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
