"""What this machine has and lacks."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.attest.architecture import NAMES, emulator
from harness.campaigns import options
from harness.containers.engine import Engine
from harness.containers.firewall import can_close
from harness.containers.mirror import Mirror
from harness.containers.networks import make_network
from harness.endpoints.drivers import DRIVERS
from harness.endpoints.images import PlacedImage
from harness.errors import DefinitionError, HarnessError
from harness.model.definitions import Database
from harness.presentation.typesetting import FONTS, fonts
from harness.reading.catalogue import Catalogue
from harness.reading.endpoints import read_databases
from harness.reading.parsing import parse
from harness.system.sandbox import obstacle, remedy
from harness.virtual.emulators import system_emulator
from harness.virtual.qemu import BOARDS

ENOUGH = 6 * 2**30
DATABASES = Path("databases.yaml")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A thing that runs need. ``found`` describes what is there; ``advice`` says what to do where it is missing."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def check() -> list[Check]:
    """Look at everything; never raises for what is missing."""
    return [
        _engine(),
        _networks(),
        *(_emulation(name) for name in NAMES),
        *map(_machines, BOARDS),
        _mmdebstrap(),
        _sandbox(),
        _mirror(),
        _fonts(),
        _disk(),
        *_databases(),
    ]


def _engine() -> Check:
    try:
        engine = Engine()
    except HarnessError as error:
        return Check(name="Docker engine", ok=False, found=error.message, advice=error.advice)
    description = f"{engine.version.get('Version')}, {engine.cpus} CPUs, {engine.memory / 2**30:.0f} GiB"
    return Check(name="Docker engine", ok=True, found=description)


def _networks() -> Check:
    """Whether cells of containers are closed here, seen on a network that is made for it."""
    title, name = "networks of containers", f"harness-look-{secrets.token_hex(6)}"
    try:
        engine = Engine()
        try:
            network = make_network(engine, name, engine.labels("doctor", name, ""))
        finally:
            engine.remove_network(name)
    except HarnessError as error:
        return Check(name=title, ok=False, found=error.message, advice=error.advice)
    if not network.closed:
        state = "open: this machine does not reach the engine's containers by their own addresses"
    elif not can_close():
        state = "closed, but for what listens on this machine: root and iptables are needed for that"
    else:
        state = "closed"
    return Check(name=title, ok=True, found=state)


def _emulation(architecture: str) -> Check:
    try:
        by = emulator(architecture)
    except HarnessError as error:
        return Check(name=f"running {architecture}", ok=False, found=error.message, advice=error.advice)
    return Check(
        name=f"running {architecture}", ok=True, found=f"qemu-user {by.version}" if by is not None else "natively"
    )


def _machines(architecture: str) -> Check:
    name = f"virtual machines of {architecture}"
    try:
        return Check(name=name, ok=True, found=f"QEMU {system_emulator(BOARDS[architecture][0]).version}")
    except HarnessError as error:
        return Check(name=name, ok=False, found=error.message, advice=error.advice)


def _mmdebstrap() -> Check:
    program = shutil.which("mmdebstrap")
    return Check(
        name="mmdebstrap", ok=program is not None, found=program or "not found", advice="install it with: make setup"
    )


def _sandbox() -> Check:
    why = obstacle()
    return Check(
        name="sandbox for suites of others", ok=not why, found=why or "bubblewrap", advice=remedy(why) if why else ""
    )


def _mirror() -> Check:
    try:
        mirror = Mirror.find()
    except HarnessError as error:
        return Check(name="package mirror", ok=False, found=error.message, advice=error.advice)
    return Check(name="package mirror", ok=True, found=f"{mirror.uri}, verified with {mirror.keyring}")


def _fonts() -> Check:
    name = "fonts of reports and certificates"
    try:
        fonts()
    except HarnessError as error:
        return Check(name=name, ok=False, found=error.message, advice=error.advice)
    return Check(name=name, ok=True, found=", ".join(FONTS))


def _disk() -> Check:
    folder = options.cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check(
        name="free disk for images",
        ok=free >= ENOUGH,
        found=f"{free / 2**30:.1f} GiB at {folder}",
        advice=f"free space: {ENOUGH / 2**30:.0f} GiB are needed for the first run",
    )


def _databases() -> list[Check]:
    """The inventory of database servers here, and the drivers that they need; nothing where there is none."""
    name = "database servers of the laboratory"
    catalogue = Catalogue.standard(Path.cwd())
    if not DATABASES.is_file():
        return []
    try:
        databases = read_databases(DATABASES, catalogue)
    except DefinitionError as error:
        fault = error.faults[0]
        return [Check(name=name, ok=False, found=str(fault), advice=f"harness lint {DATABASES}")]
    drivers = set()
    for endpoint in databases.databases:
        path = catalogue.find("targets", "database", f"{endpoint.database}.yaml")
        recipe = parse(path, Database).endpoint if path is not None else None
        if recipe is not None:
            drivers.add(endpoint.driver or recipe.driver)
    missing = [DRIVERS[driver].missing for driver in sorted(drivers) if DRIVERS[driver].missing]
    for image in databases.images:
        path = catalogue.find("targets", "database", f"{image.database}.yaml")
        placed = PlacedImage(image, parse(path, Database)) if path is not None else None
        if placed is not None and placed.obstacle:
            missing.append(f"{placed.where}: {placed.obstacle}")
    shown = f"{len(databases.databases)} in {DATABASES}, drivers: {', '.join(sorted(drivers)) or 'none'}"
    if databases.images:
        shown += f", images: {len(databases.images)}"
    return [
        Check(
            name=name,
            ok=not missing,
            found="; ".join(missing) or shown,
            advice="bring what is missing, or leave those servers and images out" if missing else "",
        )
    ]
