"""What the files of a root say of the system: its names, its architecture, its package manager, its C library."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.attest.architecture import NAMES
from harness.errors import UsageError
from harness.importing.running import PROGRAMS, demand_runnable, program
from harness.importing.trees import Node, Tree
from harness.model.definitions.base import BUILT
from harness.system.printable import visible

#: e_machine of elf(5) and of the kernel's include/uapi/linux/elf-em.h -> our name.
MACHINES = {62: "x86_64", 183: "aarch64", 258: "loongarch64", 8: "mips64", 243: "riscv64", 0x9916: "sw_64"}
#: Keys of os-release(5) by which a release is known again.
KEYS = ("ID", "VERSION_ID", "PRETTY_NAME")
#: Further keys whose text stands in the entry.
_SHOWN = ("NAME", "VENDOR_NAME")
#: What os-release(5) lets ID be, and capital letters, which openEuler's has.
_ID = re.compile(r"[A-Za-z0-9._-]+")
RELEASES = ("etc/os-release", "usr/lib/os-release")
_LONGEST = 200
_VALUE = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([^\s\"'\\]*)")
#: ELF interpreter of LoongArch's first ABI, which Linux of today and QEMU do not run.
_OLD_WORLD = "lib64/ld.so.1"
_MANAGERS: dict[str, tuple[str, ...]] = {"debian": ("apt-get",), "rpm": ("dnf", "yum")}
_DATABASES = (
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
)


@dataclass(frozen=True, kw_only=True)
class RootFacts:
    """What was seen in a root. ``identity`` as an attestation reads it; ``id``, ``version`` as os-release means them.

    ``glibc`` is empty where the C library does not say it.
    """

    identity: Mapping[str, str]
    id: str
    version: str
    title: str
    vendor: str
    architecture: str
    family: Literal["debian", "rpm"]
    package_manager: str
    glibc: str

    @property
    def words(self) -> str:
        """What was attested, for people."""
        names = ", ".join(f"{key} {value}" for key, value in self.identity.items())
        library = f"glibc {self.glibc}" if self.glibc else "glibc"
        return f"{names}; {self.architecture}; {self.package_manager} ({self.family}); {library}"


def facts_of(tree: Tree, what: str) -> RootFacts:
    """What the files of a root say; ``what`` names it in messages.

    Raises:
        UsageError: it is no root of a system that machines can be made of here.
    """
    raw = _release(tree, what)
    values = {key: _meant(value) for key, value in raw.items()}
    architecture = _architecture(tree, what)
    if not values.get("ID"):
        raise UsageError(f"{what}: its os-release names no ID", advice="its maker is to say what it is (os-release(5))")
    if not _ID.fullmatch(values["ID"]):
        raise UsageError(
            f"{what}: the ID of its os-release is {values['ID']!a}: it may have letters, digits and . _ - alone "
            "(os-release(5))",
            advice="its maker is to correct it; nothing was imported",
        )
    family = _family(tree, what)
    managers = [name for name in _MANAGERS[family] if program(tree, name) is not None]
    return RootFacts(
        identity={key: raw[key].replace('"', "").strip() for key in KEYS if values.get(key)},
        id=values["ID"],
        version=values.get("VERSION_ID", ""),
        title=values.get("PRETTY_NAME") or " ".join(filter(None, [values["ID"], values.get("VERSION_ID", "")])),
        vendor=values.get("VENDOR_NAME") or values.get("NAME") or values["ID"],
        architecture=architecture,
        family=family,
        package_manager=(managers or [{"debian": "apt", "rpm": "dnf"}[family]])[0].removesuffix("-get"),
        glibc=tree.glibc,
    )


def _release(tree: Tree, what: str) -> dict[str, str]:
    """Keys of os-release with their values as written."""
    node = tree.find(*RELEASES)
    if node is None and any(tree.find(name) is not None for name in ("manifest.json", "index.json")):
        raise UsageError(
            f"{what} is an archive of container images, and no root file system",
            advice="harness targets import archive FILE",
        )
    if node is None or not node.text:
        raise UsageError(
            f"{what} has no os-release: neither /etc/os-release nor /usr/lib/os-release says what system it is",
            advice="give the root of an installed system: its top has etc, usr and var",
        )
    raw = {}
    for line in node.text.decode(errors="surrogateescape").splitlines():
        key, equals, value = line.partition("=")
        if key in (*KEYS, *_SHOWN) and not _is_utf8(value):
            raise UsageError(
                f"{what}: {key} of its os-release is no UTF-8: {value.encode(errors='surrogateescape')[:60]!r}",
                advice="its maker is to write it so (os-release(5)); nothing was imported",
            )
        value = value.encode(errors="surrogateescape").decode(errors="replace")
        if equals and re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            if len(value) > _LONGEST or visible(value) != value:
                raise UsageError(
                    f"{what}: {key} of its os-release is longer than {_LONGEST} characters, or steers terminals",
                    advice="its maker is to explain that; nothing was imported",
                )
            raw[key] = value
    return raw


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _meant(value: str) -> str:
    """A value of os-release without its quotes; empty where it is none."""
    match = _VALUE.fullmatch(value.strip())
    if match is None:
        return ""
    double, single, bare = match.groups()
    return re.sub(r"\\(.)", r"\1", double) if double is not None else single or bare or ""


def machine_of(node: Node) -> str:
    """Our name of the architecture of a program; empty where it is none, or for a machine that is not known."""
    if len(node.head) < 20 or node.head[:4] != b"\x7fELF":
        return ""
    (machine,) = struct.unpack_from("<H" if node.head[5] == 1 else ">H", node.head, 18)
    return MACHINES.get(machine, "")


def _architecture(tree: Tree, what: str) -> str:
    """The architecture of the programs that every machine must have, and of the loader that they need."""
    lacking = [name for name in PROGRAMS if program(tree, name) is None]
    if lacking:
        raise UsageError(
            f"{what} has no {' and no '.join(lacking)}: no machine can be made of it",
            advice="give a system with a shell and coreutils",
        )
    machines = {name: machine_of(node) for name in PROGRAMS if (node := program(tree, name)) is not None}
    if len(set(machines.values())) != 1 or not all(machines.values()):
        words = ", ".join(f"{name}: {machine or 'no program of a known machine'}" for name, machine in machines.items())
        raise UsageError(f"{what}: its programs have no architecture in common: {words}", advice="make the root again")
    architecture = machines["sh"]
    if architecture not in BUILT:
        raise UsageError(
            f"{what} is of {architecture}, which nothing runs here ({', '.join(BUILT)} do)",
            advice="a lab host of that kind serves it: hosts.yaml",
        )
    loader = NAMES[architecture].loader
    if tree.find(loader) is None:
        old = architecture == "loongarch64" and tree.find(_OLD_WORLD) is not None
        raise UsageError(
            f"{what} is of LoongArch's old world (/lib64/ld.so.1), which no kernel and no QEMU here runs"
            if old
            else f"{what} has no {loader}: its C library is not glibc, by which targets are attested",
            advice="a lab host serves it: hosts.yaml",
        )
    demand_runnable(tree, what)
    return architecture


def _family(tree: Tree, what: str) -> Literal["debian", "rpm"]:
    status = tree.find("var/lib/dpkg/status")
    if status is not None and status.size:
        return "debian"
    if tree.find(*_DATABASES) is not None:
        return "rpm"
    raise UsageError(
        f"{what} has no database of packages, neither dpkg's nor rpm's: how something is installed there is not known",
        advice="give a whole system, not an image that was stripped of it",
    )


def unlike(fact: str, expected: str, by: str, attested: str) -> str:
    """A difference in words. ``by``: who expects it, an option or an entry."""
    return f"{fact}: expected {expected} ({by}), attested {attested or 'nothing'}"


def differences(facts: RootFacts, claims: Mapping[str, Any], by: Mapping[str, str]) -> list[str]:
    """Where a root is not what is said of it; ``claims``: field of ``RootFacts`` -> value, empty ones claim nothing;
    ``by``: field -> who says so."""
    return [
        unlike(name, claim, by[name], getattr(facts, name))
        for name, claim in claims.items()
        if claim and getattr(facts, name) != claim
    ]


def boots(tree: Tree, kernel: str) -> bool:
    """Whether a root has what virtual machines are made of: this kernel with its modules, an SSH server, iproute2."""
    modules = f"lib/modules/{kernel}"
    vmlinuz = tree.find(f"boot/vmlinuz-{kernel}", f"{modules}/vmlinuz")
    return (
        bool(kernel)
        and vmlinuz is not None
        and tree.find(f"{modules}/modules.dep") is not None
        and all(program(tree, name) is not None for name in ("sshd", "ip"))
    )
