"""Base images of operating systems: built from signed packages, pulled from a registry by their digest, or imported."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.attest.architecture import NAMES, host_architecture
from harness.containers.cache import is_brought_image, is_own_image, mark_image_used, mark_used, note_own_image
from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.containers.imported import load_imported, note_of
from harness.containers.layers import load_layer
from harness.containers.mirror import Mirror
from harness.errors import ProvisionError, StepTimeout
from harness.model.definitions import Os
from harness.model.ledger import Ledger
from harness.model.recipe import BROUGHT_FROM
from harness.system.abandoning import abandonable
from harness.system.canonical import digest_of, read_json
from harness.system.locks import holder_of, lock
from harness.system.makers import own_name, runs
from harness.system.process import Completed, run
from harness.system.waiting import NOTICE_SECONDS

#: Raised when the way base images are made changes.
REVISION = 4
LABEL_NOTES = "harness.notes"
LABEL_EXPIRED = "harness.expired"  #: what apt said of the release file; empty where it was fresh
PULLED = BROUGHT_FROM[1] + "{}"
BROUGHT_NOTE = "the base image came with the bundle, and was not made here 基础镜像随复现包带来，非本机制作"
BUILD_SECONDS = 1800


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """An image in the engine: its name, id, and what was unusual when it was made."""

    name: str
    id: str
    cached: bool
    notes: tuple[str, ...] = ()


@dataclass
class BaseImages:
    """Builds what is missing. ``accepted`` maps an operating system to the reason for taking an expired release."""

    engine: Engine
    cache: Path
    mirror_uri: str = ""
    accepted: dict[str, str] = field(default_factory=dict)
    cancel: threading.Event = field(default_factory=threading.Event)
    on_wait: Callable[[str], None] | None = None  #: gets who is waited for, once a wait has become long
    brought: bool = False  #: whether images that a bundle brought may be used, where none was made here
    _mirror: Mirror | None = None
    _broken: dict[str, ProvisionError] = field(default_factory=dict)

    def mirror(self) -> Mirror:
        """Where packages come from. Raises as ``Mirror.find``."""
        self._mirror = mirror = self._mirror or Mirror.find(self.mirror_uri, cancel=self.cancel)
        return mirror

    def is_there(self, system: Os, architecture: str) -> bool:
        """Whether the base image needs no building.

        Raises:
            InfrastructureError: the engine does not answer.
        """
        return self.engine.image_id(self.name_of(system, architecture)) is not None

    def prepare(self, system: Os, architecture: str, ledger: Ledger) -> None:
        """Build what a first cell of this kind would have to wait for. Raises as ``ensure``."""
        self.ensure(system, architecture, ledger)
        if architecture != host_architecture():
            self.native_tools(system, ledger)

    def ensure(self, system: Os, architecture: str, ledger: Ledger) -> BaseImage:
        """The base image of a system for an architecture; where it is missing, pulled if a registry has it, made
        of what was imported, and otherwise built with mmdebstrap.

        Raises:
            ProvisionError: the packages cannot be fetched, verified or unpacked; the registry does not give the image;
                what was imported is not there.
            AttestationMismatch: the image has another architecture, or no machine can be made of it.
        """
        tag = self.name_of(system, architecture)
        key = tag.rpartition("-")[2]
        mark_image_used(self.cache, tag)
        with self.locked(f"base-{key}"):
            if (image := self._find(tag, system, architecture)) is not None and is_own_image(
                self.cache, tag, image.id, brought=self.brought
            ):
                came = is_brought_image(self.cache, tag, image.id)
                return dataclasses.replace(image, notes=(*image.notes, BROUGHT_NOTE)) if came else image
            if key in self._broken:  # the first error is raised again, without a second wait for it
                raise self._broken[key]
            ledger.intent("image", tag)
            self._make(tag, key, system, architecture, ledger)
            image = self._find(tag, system, architecture)
            if image is None:
                raise ProvisionError(f"image {tag} was loaded but is not there", advice="see the engine's log")
            note_own_image(self.cache, tag, image.id)
            ledger.created("image", tag, image.id)
            return dataclasses.replace(image, cached=False)

    def _make(self, tag: str, key: str, system: Os, architecture: str, ledger: Ledger) -> None:
        """Pull, load or build a base image. Raises as ``ensure``."""
        names, where = NAMES[architecture], {"os": system.os, "architecture": architecture}
        if reference := system.image_of(architecture):
            identity = abandonable(
                lambda: self.engine.pull(reference, names.docker, tag),
                what=f"the registry for {reference}",
                cancel=self.cancel,
            )
            ledger.event("pulled", **where, reference=reference, image=identity)
            return
        if (imported := system.import_of(architecture)) is not None:
            load_imported(self.engine, self.cache, imported, architecture, tag, self.cancel)
            ledger.event("imported", **where, origin=imported.origin, sha256=imported.sha256)
            return
        scratch = self.cache / "tmp" / f"{key}-{own_name()}.tar"
        try:
            notes, expired, layer = self._bootstrap(system, names.debian, scratch, ledger)
        except ProvisionError as error:
            if not self.cancel.is_set():
                self._broken[key] = error
            raise
        labels = {LABEL_NOTES: json.dumps(notes), **({LABEL_EXPIRED: expired} if expired else {})}
        try:
            with engine_errors(f"loading image {tag}"):
                load_layer(self.engine, layer, tag, names.docker, labels, layer.with_suffix(".load"), self.cancel)
        finally:
            layer.unlink(missing_ok=True)

    def native_tools(self, system: Os, ledger: Ledger) -> Path | None:
        """Root folder of the same release for this machine's own architecture; None where there is none.

        Its programs stand in for the emulated ones while packages are installed.

        Raises:
            ProvisionError: as ``ensure``.
        """
        host = host_architecture()
        if host not in system.architectures or not system.suite:
            return None
        key = digest_of([REVISION, "native", system.suite, host, *filter(None, [self.mirror_uri])])[:12]
        final = self.cache / "native" / key
        with self.locked(f"native-{key}"):
            if (final / ".complete").is_file():
                mark_used(final)
                return final
            part = self.cache / "tmp" / f"native-{key}-{own_name()}.tar"
            _, _, layer = self._bootstrap(system, NAMES[host].debian, part, ledger, include="perl")
            begun = final.with_name(f".{key}")  # not looked at as unused, though its time is that of a package
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir(parents=True)
            try:
                answer = run(
                    ["tar", "-xf", str(layer), "-C", str(begun), "--exclude=./dev/*"], timeout=300, cancel=self.cancel
                )
            finally:
                layer.unlink(missing_ok=True)
            if not answer.ok:
                raise ProvisionError(f"unpacking {begun} failed: {answer.text[-400:]}", advice="free space and repeat")
            (begun / ".complete").touch()
            shutil.rmtree(final, ignore_errors=True)
            begun.rename(final)
            mark_used(final)
        return final

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process and one thread at a time; a wait that becomes long is announced, with the holder.

        Raises:
            Canceled: the campaign was stopped meanwhile.
        """
        path = self.cache / "locks" / name
        notify = self.on_wait or (lambda _holder: None)
        announced = threading.Timer(NOTICE_SECONDS, lambda: notify(holder_of(path) or name))
        announced.daemon = True

        def wait_begins(_holder: str) -> None:
            if announced.ident is None:
                announced.start()

        try:
            with lock(path, cancel=self.cancel, holder=f"harness is making {name}", on_wait=wait_begins):
                announced.cancel()
                yield
        finally:
            announced.cancel()

    def name_of(self, system: Os, architecture: str) -> str:
        """Name of a base image, made or not."""
        debian = NAMES[architecture].debian
        brought, imported = system.image_of(architecture), system.import_of(architecture)
        # A mirror that was named is where its packages come from, now and in every environment made of it.
        made_of = [system.suite, system.family, *filter(None, [self.mirror_uri])]
        if brought or imported is not None:
            made_of = [brought] if imported is None else ["imported", imported.form, imported.sha256]
        key = digest_of([REVISION, *made_of, debian])[:12]
        return f"harness-base:{system.os}-{debian}-{key}"

    def _find(self, tag: str, system: Os, architecture: str) -> BaseImage | None:
        identity = self.engine.image_id(tag)
        if identity is None:
            return None
        with engine_errors(f"reading image {tag}"):
            labels = self.engine.client.images.get(tag).labels
        if reference := system.image_of(architecture):  # its own labels are its maker's
            return BaseImage(name=tag, id=identity, cached=True, notes=(PULLED.format(reference),))
        if (imported := system.import_of(architecture)) is not None:
            return BaseImage(name=tag, id=identity, cached=True, notes=(note_of(system, imported),))
        notes = tuple(read_json(labels.get(LABEL_NOTES, "[]")))
        if expiry := labels.get(LABEL_EXPIRED, ""):
            reason = self._accepted(system, expiry)  # this campaign's, whoever made the image
            notes = (*notes, f"release file of {system.suite} expired, accepted: {reason} ({expiry})")
        return BaseImage(name=tag, id=identity, cached=True, notes=notes)

    def _accepted(self, system: Os, expiry: str) -> str:
        """Why the expired release file of a system is accepted; ``expiry``: apt's message about it.

        Raises:
            ProvisionError: it is not accepted.
        """
        reason = self.accepted.get(system.os)
        if reason is None:
            raise ProvisionError(
                f"the release file of {system.os} ({system.suite}) on the mirror is expired: {expiry}",
                advice=f"use a fresher mirror (--mirror URI), or accept it knowingly: --allow-expired-release "
                f"{system.os}, or `accept` in matrix.yaml; the evidence then says so",
            )
        return reason

    def _bootstrap(
        self, system: Os, debian: str, out: Path, ledger: Ledger, *, include: str = ""
    ) -> tuple[list[str], str, Path]:
        """Notes about the packages, apt's message about an expired release file, and the path of the layer."""
        mirror = self.mirror()
        out.parent.mkdir(parents=True, exist_ok=True)
        packages = [p for p in (include, "ca-certificates" if mirror.uri.startswith("https") else "") if p]
        argv = [
            "mmdebstrap",
            "--variant=minbase",
            "--format=tar",
            f"--architectures={debian}",
            "--skip=check/qemu",
            '--aptopt=Acquire::Languages "none"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
        ]
        if os.geteuid() == 0:
            argv.append("--mode=root")
        if packages:
            argv.append(f"--include={','.join(packages)}")
        if mirror.proxy:
            argv.append(f'--aptopt=Acquire::http::Proxy "{mirror.proxy}"')
        tail = [system.suite, str(out), mirror.source(system.suite)]
        ledger.event("bootstrap", os=system.os, architecture=debian, suite=system.suite, mirror=mirror.uri)
        notes = [f"packages verified with {mirror.keyring.name}"]
        if self.mirror_uri:
            notes.append(f"packages from {self.mirror_uri}")
        expired = ""
        answer = self._mmdebstrap([*argv, *tail])
        if not answer.ok and "is expired" in answer.err:
            expired = _expired(answer.err)
            ledger.event("expired-release-accepted", os=system.os, reason=self._accepted(system, expired), apt=expired)
            out.unlink(missing_ok=True)
            answer = self._mmdebstrap([*argv, '--aptopt=Acquire::Check-Valid-Until "false"', *tail])
        ledger.keep(f"mmdebstrap-{system.os}-{debian}.log", answer.text.encode())
        if not answer.ok:
            out.unlink(missing_ok=True)
            space = "No space left" in answer.err
            raise ProvisionError(
                f"mmdebstrap could not build {system.os} for {debian} from {mirror.uri} (exit {answer.rc}): "
                f"{_reason(answer.err)}",
                advice="free space on the disk"
                if space
                else "check the mirror (--mirror URI names another); the log is in the evidence",
            )
        return notes, expired, out

    def _mmdebstrap(self, argv: list[str]) -> Completed:
        # The temporary root must lie where devices may be made; /tmp may be mounted otherwise. Whose it is stands in
        # the name of a folder around it: the root itself gets the time of the system's own package, years ago.
        scratch = self.cache / "tmp" / f"root-{secrets.token_hex(4)}-{own_name()}"
        scratch.mkdir(parents=True)
        try:
            return run(argv, timeout=BUILD_SECONDS, cancel=self.cancel, env={"TMPDIR": str(scratch)})
        except StepTimeout as error:
            raise ProvisionError(error.message, advice="check the mirror's speed") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def clean_scratch(cache: Path) -> list[str]:
    """Remove what builders that were killed left in the cache's scratch folder; gives the names."""
    removed = []
    folder = cache / "tmp"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        maker = re.search(r"-([0-9a-f]+)(?:\.tar|\.load)?$", path.name)
        if maker is None or runs(maker[1]):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path.name)
    for path in sorted((cache / "vms").glob("*/.*")):  # disks, kernels and snapshots that were not finished
        maker = re.match(r"\.[0-9a-f]+-([0-9a-f]+)", path.name)
        if maker is not None and not runs(maker[1]):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def _expired(text: str) -> str:
    """apt's own sentence, its addresses left out."""
    line = next((line for line in text.splitlines() if "is expired" in line), "")
    return line[line.find("is expired") + 3 :].strip().replace(" Updates for this repository will not be applied.", "")


_FETCH = re.compile(r"^(?:E|W|Err\S*): .*|.*(?:Could not|Cannot|Unable to|Failed to fetch|timed out).*", re.IGNORECASE)


def _reason(text: str) -> str:
    """What apt says of why it could not fetch, each sentence once; the last lines where it says nothing."""
    lines = [match[0].strip() for line in text.splitlines() if (match := _FETCH.match(line)) is not None]
    return " / ".join(list(dict.fromkeys(lines))[:3])[:600] or _tail(text)


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:600]
