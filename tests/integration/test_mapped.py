"""What ``ldd`` misses and the running product has: search paths of its own, and what a program loads by itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.control.installation import Installation
from harness.system.process import Completed
from tests.suite_runs import context, shipped_suite

ENGINE = "int engine_answer(void) { return 42; }"
PLUGIN = "int engine_answer(void); int plug(void) { return engine_answer(); }"
LOADER = """
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **names) {
  for (int i = 1; i < count; i++)
    if (!dlopen(names[i], RTLD_NOW | RTLD_GLOBAL)) { puts(dlerror()); return 1; }
  puts("loaded"); fflush(stdout); sleep(600); return 0;
}
"""


class ThisMachine:
    """This machine's own shell and files."""

    name = "application"

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        done = subprocess.run(
            ["/bin/sh", "-c", command], input=stdin.encode(), capture_output=True, timeout=timeout, check=False
        )
        return Completed(rc=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def get(self, path: str) -> bytes:
        return Path(path).read_bytes()


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    return shipped_suite("compat/lifecycle/test_lifecycle.py")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``engine 引擎/libengine-2.so`` with the soname libengine.so.1, ``plugin.so`` that needs it, and ``loader``."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "engine 引擎").mkdir()
    engine = folder / "engine 引擎" / "libengine-2.so"

    def gcc(source: str, *words: object) -> None:
        subprocess.run(
            ["gcc", "-x", "c", "-", *map(str, words)], input=source.encode(), check=True, capture_output=True
        )

    gcc(ENGINE, "-shared", "-fPIC", "-Wl,-soname,libengine.so.1", "-o", engine)
    gcc(PLUGIN, "-shared", "-fPIC", "-o", folder / "plugin.so", "-x", "none", engine)
    gcc(PLUGIN, "-shared", "-fPIC", "-o", folder / "bare.so")
    gcc(LOADER, "-o", folder / "loader")
    return folder


@contextlib.contextmanager
def running(folder: Path, *names: str) -> Iterator[None]:
    command = [str(folder / "loader"), *(str(folder / name) for name in names)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
            yield
        finally:
            process.kill()


def look(suite: ModuleType, folder: Path, *names: str) -> None:
    installation = Installation(context(folder), ThisMachine())  # type: ignore[arg-type]
    files = [str(folder / name) for name in names]

    class Looked(Installation):
        def files(self) -> list[str]:
            return files

    looked: Any = Looked(installation.context, installation.machine)
    suite.test_dependencies_resolve(
        SimpleNamespace(architecture=os.uname().machine), looked, lambda *_: None, lambda *_: None, print
    )


def test_what_the_running_product_has_loaded_is_not_missing(suite: ModuleType, built: Path) -> None:
    with pytest.raises(AssertionError, match=r"libraries not found: .*plugin.so: libengine.so.1"):
        look(suite, built, "plugin.so", "loader")
    # The library's file is named otherwise than it is asked for: its soname says that it is the same.
    with running(built, "engine 引擎/libengine-2.so", "plugin.so"):
        look(suite, built, "plugin.so", "loader")
    with pytest.raises(AssertionError, match=r"libraries not found"):
        look(suite, built, "plugin.so")


def test_every_name_of_a_library_is_that_library(suite: ModuleType, built: Path) -> None:
    for name in ("plugin.so.1", "plugin.so.1.2"):
        (built / name).symlink_to("plugin.so")
    names = ["plugin.so.1.2", "plugin.so", "plugin.so.1", "loader"]
    with pytest.raises(AssertionError, match="libraries not found"):
        look(suite, built, *names)
    with running(built, "engine 引擎/libengine-2.so", "plugin.so.1"):
        look(suite, built, *names)


def test_symbols_of_what_a_process_has_loaded_are_defined(suite: ModuleType, built: Path) -> None:
    with pytest.raises(AssertionError, match=r"undefined symbols: .*bare.so.*engine_answer"):
        look(suite, built, "bare.so")
    with running(built, "engine 引擎/libengine-2.so", "bare.so"):
        look(suite, built, "bare.so")


def test_a_process_that_has_not_loaded_the_file_proves_nothing_of_it(suite: ModuleType, built: Path) -> None:
    """Two products at once: the engine of one is no library of the other."""
    with running(built, "engine 引擎/libengine-2.so"), pytest.raises(AssertionError, match="libraries not found"):
        look(suite, built, "plugin.so")
