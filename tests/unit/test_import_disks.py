"""Disk images, and what else is imported by more than its files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from harness.containers.imported import kept_file
from harness.errors import InfrastructureError, UsageError
from harness.importing.disks import Account, import_disk
from harness.importing.importing import Import, import_root
from harness.importing.registry import import_image
from harness.machines.placing import by_container, by_vm
from harness.model.definitions import Cpu, Os
from harness.reading.entries import entry
from harness.reading.parsing import parse
from harness.virtual.foreign import Start, format_of
from tests.imports import Place
from tests.roots import files, tar_of


def cpu(name: str) -> Cpu:
    value = entry(f"cpu/{name}")[2]
    assert isinstance(value, Cpu)
    return value


def disk(**change: bytes) -> bytes:
    """The head of a qcow2 (docs/interop/qcow2.rst of QEMU), version 3."""
    parts = {
        "magic": b"QFI\xfb",
        "version": (3).to_bytes(4),
        "backing": bytes(8),
        "rest": struct.pack(">IIQIIQQIIQ", 0, 16, 1 << 20, 0, 1, 4096, 8192, 0, 0, 0),
        "features": bytes(8),
    }
    return b"".join({**parts, **change}.values()).ljust(1 << 16, b"\0")


@pytest.mark.parametrize(
    ("data", "kernel", "words"),
    [
        (disk(backing=(4096).to_bytes(8)), False, "leads to another file"),
        (disk(features=(4).to_bytes(8)), True, "leads to another file"),
        (b"KDMV" + bytes(1000), False, "format VMDK"),
        (bytes(4096), False, "neither a qcow2 nor a raw disk"),
        (b"", False, "neither a qcow2 nor a raw disk"),
    ],
)
def test_a_disk_that_leads_elsewhere_or_is_none_is_refused(
    tmp_path: Path, data: bytes, kernel: bool, words: str
) -> None:
    (tmp_path / "d").write_bytes(data)
    with pytest.raises(UsageError, match=words) as caught:
        format_of(tmp_path / "d", Start(architecture="x86_64", kernel=Path("vmlinuz") if kernel else None))
    assert caught.value.advice


def test_disks_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    own, beside = Start(architecture="x86_64"), Start(architecture="x86_64", kernel=Path("vmlinuz"))
    (tmp_path / "q").write_bytes(disk())
    (tmp_path / "r").write_bytes(bytes(510) + b"\x55\xaa")
    (tmp_path / "f").write_bytes(bytes(4096))
    assert [format_of(tmp_path / name, own) for name in "qr"] == ["qcow2", "raw"]
    assert format_of(tmp_path / "f", beside) == "raw"


@pytest.mark.parametrize("account", [Account(), Account(key="env:K", password="env:P")])
def test_a_disk_needs_one_way_in(place: Place, account: Account) -> None:
    with pytest.raises(UsageError, match="a key or a password"):
        import_disk(
            place.file(disk()),
            place.wanted(),
            place.prove,
            account,
            Start(architecture="x86_64"),
            seconds=1,
            cache=place.cache,
        )


def test_a_disk_is_known_again_though_its_files_are_others_after_each_boot(place: Place) -> None:
    def boot(number: int, **wanted: Any) -> Import:
        root = place.file(tar_of({**files(), "var/log/boot": b"x" * number}))
        return import_root(
            root, place.wanted(**wanted), place.prove, origin="disk d", origin_sha256="0" * 64, cache=place.cache
        )

    first = boot(1)
    before = place.left()
    second = boot(2)
    assert (second.changed, second.digest, place.left()) == (False, first.digest, before)
    kept_file(place.cache, first.digest).unlink()
    with pytest.raises(UsageError, match="not in the cache any more") as caught:
        boot(3)
    assert "--replace" in caught.value.advice
    assert boot(3, replace=True).changed


KERNEL = {"usr/sbin/sshd": b"x", "usr/bin/ip": b"x", "lib/modules/6.1-x/modules.dep": b"", "boot/vmlinuz-6.1-x": b"x"}


@pytest.mark.parametrize("lacking", ["", *KERNEL])
def test_virtual_machines_are_made_of_a_disk_that_has_all_they_need(place: Place, lacking: str) -> None:
    root = place.file(tar_of({**files(), **{k: v for k, v in KERNEL.items() if k != lacking}}))
    result = import_root(root, place.wanted(), place.prove, kernel="6.1-x", cache=place.cache)
    system = parse(result.path, Os)
    assert (by_vm(system, cpu("x86-64")).fidelity is None) == bool(lacking)
    assert by_vm(system, cpu("kunpeng-920")).fidelity is None
    assert by_container(system, cpu("x86-64")).fidelity is not None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12", "12"),
        ('"V10"', "V10"),
        ("'V10'", "V10"),
        (r'"a \"b\" \$c"', 'a "b" $c'),
        ('"', ""),
        ("a b", ""),
        ("", ""),
    ],
)
def test_values_of_os_release_lose_their_quotes(place: Place, written: str, meant: str) -> None:
    text = f"ID=x\nVERSION_ID={written}\n".encode()
    assert place.import_root(tar_of({**files(), "usr/lib/os-release": text})).facts.version == meant


@pytest.mark.parametrize("reference", ["debian:12", "lab/debian:12", "debian", "127.0.0.1:5000/a b:1"])
def test_a_reference_names_its_registry(tmp_path: Path, place: Place, reference: str) -> None:
    nobody: Any = None
    with pytest.raises(UsageError, match="names no registry"):
        import_image(reference, place.wanted(), place.prove, nobody, tmp_path)


def test_an_emulator_that_ends_by_itself_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """And a guest that refuses the login is not."""
    emulator = tmp_path / "bin" / "qemu-system-x86_64"
    emulator.parent.mkdir()
    emulator.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\necho an assertion failed\nexit 134\n")
    emulator.chmod(0o755)
    monkeypatch.setenv("PATH", str(emulator.parent), prepend=":")
    monkeypatch.setattr("harness.virtual.foreign.user_of", lambda name: 0)
    image = place.root / "d.raw"
    image.write_bytes((bytes(510) + b"\x55\xaa").ljust(1 << 20, b"\0"))
    start = Start(architecture="x86_64", accelerator="tcg")
    with pytest.raises(InfrastructureError, match=r"the virtual machine ended; qemu.log: an assertion failed"):
        import_disk(image, place.wanted(), place.prove, Account(key="env:K"), start, seconds=30, cache=place.cache)
    assert (tmp_path / "starts").read_text().count("started") == 2
    assert place.left() == []
