"""What QEMU says of a bad end, and whose end that is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.attest.emulation import Sign, emulator_trouble
from harness.model.recipe import Recipe
from harness.provision.installing import Installer
from harness.system.process import Completed


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("Setting up libc-bin\nqemu: uncaught target signal 11 (Segmentation fault) - core dumped\n", Sign.PROGRAM),
        ("qemu: uncaught target signal 6 (Aborted) - core dumped", Sign.PROGRAM),
        ("qemu: Unsupported syscall: 425\n", Sign.EMULATOR),
        ("qemu-aarch64: Unable to reserve 0x1000 bytes", Sign.EMULATOR),
        ("qemu: unhandled CPU exception 0x10 - aborting", Sign.EMULATOR),
        ("**\nERROR:../accel/tcg/cpu-exec.c:928:cpu_exec_setjmp: assertion failed: (x)", Sign.EMULATOR),
        ("Bail out! ERROR:../../linux-user/syscall.c:1: code should not be reached", Sign.EMULATOR),
    ],
)
def test_it_is_told_whose_end_it_was(text: str, sign: Sign) -> None:
    trouble = emulator_trouble(text)
    assert trouble is not None
    assert trouble.sign is sign


@pytest.mark.parametrize(
    "text",
    [
        "",
        "qemu: uncaught target signal 4 (Illegal instruction) - core dumped",
        "qemu: uncaught target signal 15 (Terminated)",
        "Segmentation fault (core dumped)",
        "installing qemu-user-static\nERROR: no such table",
        "qemu is a machine emulator: it cannot be removed",
    ],
)
def test_what_qemu_did_not_say_is_not_taken_for_it(text: str) -> None:
    assert emulator_trouble(text) is None


def failure(text: str, architecture: str = "aarch64") -> Any:
    recipe = Recipe(name="product", os="debian-12", architecture=architecture)
    installer = Installer(SimpleNamespace(name="machine"), recipe)  # type: ignore[arg-type]
    return installer.failure("install packages", Completed(rc=100, out="", err=text), "product")


def test_an_installation_that_the_emulator_broke_is_not_the_products_failure() -> None:
    text = "dpkg: error\nqemu: uncaught target signal 11 (Segmentation fault) - core dumped\nE: Sub-process failed"
    broken = failure(text)
    assert broken.cause == "infra"
    assert "seen under emulation only" in broken.message
    assert failure("dpkg: error processing\n").cause == "product"
    assert failure("qemu: uncaught target signal 4 (Illegal instruction)").cause == "product"
