"""The static scan beside ``file`` + ``readelf`` over the same files, and beside ``objdump -d`` over the same code."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.model.definitions import Rule
from harness.model.finding import Targets
from harness.scan import Scan, code, elf
from harness.scan.gathering import Gatherer
from harness.scan.languages import languages_of
from harness.scan.listing import inputs_of
from tests.debs import fetch
from tests.unit.test_scan_rules import RULES, TARGETS

LIBRARIES = Path("/usr/lib")
FILES = 300
#: Sources and scripts that machines of developers have.
TEXTS = (Path("/usr/include"), Path(sysconfig.get_path("stdlib")), Path("/usr/share"))
SUFFIXES = frozenset(".h .c .cpp .py .pl .sh .mk .cmake .m4 .js".split())
TEXT_FILES = 3000
CODE_BYTES = 60_000_000
ARM_PACKAGES = ("libopenblas0-pthread", "libnss3", "perl-base", "git", "bind9-dnsutils", "openssl")
#: Headers, symbols, versions, notes: everything but what needs the code itself.
HEADERS: list[Rule] = [rule for rule in RULES if rule.detect != "extension"]


def main() -> None:
    """Print times and ratios; goals: 3 times the loop's speed, 3 times objdump's, memory flat."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "tree"
        count, size = _tree(root)
        ours = min(_seconds(lambda: _scan(root, HEADERS)) for _ in range(3))
        loop = min(_seconds(lambda: _loop(root, Path(scratch) / "x")) for _ in range(2))
        print(
            f"{count} ELF files and nested jars, {size / 1e6:.0f} MB: scan {ours:.2f} s "
            f"({size / 1e6 / ours:.0f} MB/s); "
            f"file + readelf {loop:.2f} s; {loop / ours:.1f} times faster (goal 3)"
        )
        _texts(Path(scratch) / "texts")
        _disassembly(root)
        _arm(Path(scratch) / "arm")
        _memory(root)


def _elf_files() -> Iterator[Path]:
    for path in sorted(LIBRARIES.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.open("rb").read(4) == b"\x7fELF":
            yield path


def _tree(root: Path) -> tuple[int, int]:
    """Copies of this machine's libraries: two thirds as files, one third in jars within jars."""
    root.mkdir()
    size = count = 0
    jars: list[Path] = []
    for i, path in enumerate(_elf_files()):
        if i >= FILES:
            break
        data = path.read_bytes()
        size += len(data)
        count += 1
        if i % 3:
            (root / f"lib{i}.so").write_bytes(data)
        else:
            jar = root / f"inner{i}.jar"
            with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr(f"native/linux-x86_64/lib{i}.so", data)
            jars.append(jar)
    for i in range(0, len(jars), 10):
        with zipfile.ZipFile(root / f"outer{i}.jar", "w") as archive:
            for jar in jars[i : i + 10]:
                archive.write(jar, f"lib/{jar.name}")
                jar.unlink()
    return count, size


def _scan(root: Path, rules: list[Rule]) -> Scan:
    work = Scan(rules, TARGETS)
    work.add(root)
    work.findings()
    return work


def _loop(root: Path, scratch: Path) -> None:
    """What a script does: unzip what is packed, then ``file`` and ``readelf`` on each file."""
    script = """
set -e
rm -rf "$2"; mkdir "$2"; cd "$2"
for j in "$1"/*.jar; do d=$(mktemp -d ./o.XXXXXX); unzip -q "$j" -d "$d"
  for i in "$d"/lib/*.jar; do e=$(mktemp -d ./i.XXXXXX); unzip -q "$i" -d "$e"; done; done
find "$1" "$2" -name '*.so' | while read -r f; do file -b "$f"; readelf -hldnVW --dyn-syms "$f" 2>&1; done >/dev/null
"""
    subprocess.run(["sh", "-c", script, "sh", str(root), str(scratch)], check=True)


def _texts(root: Path) -> None:
    """All rules about texts over sources and scripts of this machine, beside reading them, and beside grep.

    Reading: each file once, and each expression of the rules for its languages over the whole of it. grep: one
    expression, that of SRC-1, as PCRE.
    """
    root.mkdir()
    size = count = 0
    for folder in TEXTS:
        for path in sorted(folder.rglob("*")):
            if count >= TEXT_FILES or not path.is_file() or path.is_symlink() or path.suffix not in SUFFIXES:
                continue
            data = path.read_bytes()
            size, count = size + len(data), count + 1
            (root / f"{count}-{path.name}").write_bytes(data)
    rules = [rule for rule in RULES if "patterns" in rule.parameters]
    ours = min(_seconds(lambda: _scan(root, rules)) for _ in range(2))
    plain = min(_seconds(lambda: _plainly(root, rules)) for _ in range(2))
    (words,) = (rule.parameters["patterns"] for rule in rules if rule.id == "SRC-1")
    grep = min(
        _seconds(
            lambda: subprocess.run(["grep", "-rlP", "|".join(words), root], stdout=subprocess.DEVNULL, check=False)
        )
        for _ in range(2)
    )
    print(
        f"{count} texts, {size / 1e6:.1f} MB, {len(rules)} rules: scan {ours:.2f} s ({size / 1e6 / ours:.1f} MB/s); "
        f"reading and searching plainly {plain:.2f} s, {ours / plain:.2f} times that (goal: at most 2.5); "
        f"grep for one rule of them {grep:.2f} s"
    )


def _plainly(root: Path, rules: list[Rule]) -> int:
    every = [
        (
            frozenset(rule.parameters["languages"]),
            [re.compile(text, re.MULTILINE) for text in rule.parameters["patterns"]],
        )
        for rule in rules
    ]
    matches = 0
    for path in root.iterdir():
        text = path.read_bytes().decode(errors="replace")
        languages = set(languages_of(str(path), text))
        for wanted, patterns in every:
            if wanted & languages:
                matches += sum(len(pattern.findall(text)) for pattern in patterns)
    return matches


def _disassembly(root: Path) -> None:
    """The search for AVX-512 over code, as the scan does it, beside objdump."""
    files: list[Path] = []
    size = 0
    for path in sorted(root.glob("*.so")):
        one = elf.read(path.read_bytes())
        if one.machine != "x86_64":
            continue
        files.append(path)
        size += sum(section.size for section in one.code)
        if size > CODE_BYTES:
            break
    if not files:
        print("disassembly: this machine has no x86-64 libraries")
        return
    found: list[code.Use] = []

    def search() -> None:
        found.clear()
        for path in files:
            data = path.read_bytes()
            found.extend(code.uses(elf.read(data), data, ["avx512f"]))

    ours = min(_seconds(search) for _ in range(2))
    theirs = _seconds(
        lambda: [subprocess.run(["objdump", "-d", str(path)], stdout=subprocess.DEVNULL, check=True) for path in files]
    )
    print(
        f"AVX-512 in {size / 1e6:.0f} MB of code ({len(found)} files have it): scan {ours:.2f} s "
        f"({size / 1e6 / ours:.0f} MB/s); objdump -d {theirs:.2f} s; {theirs / ours:.0f} times faster (goal 3)"
    )


def _arm(root: Path) -> None:
    """The search for LSE, SVE and dot products over packages for arm64, beside objdump."""
    for package in fetch(ARM_PACKAGES, ["arm64"]):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and path.open("rb").read(4) == b"\x7fELF"
    ]
    size = sum(section.size for path in files for section in elf.read(path.read_bytes()).code)

    def search() -> None:
        for path in files:
            data = path.read_bytes()
            list(code.uses(elf.read(data), data, list(code.AARCH64)))

    ours = min(_seconds(search) for _ in range(2))
    objdump = "aarch64-linux-gnu-objdump"
    theirs = _seconds(
        lambda: [subprocess.run([objdump, "-d", str(path)], stdout=subprocess.DEVNULL, check=True) for path in files]
    )
    print(
        f"LSE, SVE, dot products in {size / 1e6:.0f} MB of ARM code: scan {ours:.2f} s ({size / 1e6 / ours:.0f} MB/s); "
        f"objdump -d {theirs:.2f} s; {theirs / ours:.0f} times faster (goal 3)"
    )


def _memory(root: Path) -> None:
    """Peak memory over the tree, and over the same tree three times, each in a process of its own."""
    script = (
        "import sys; from pathlib import Path; from tests.benchmarks.scan import peak; "
        "print(peak([Path(one) for one in sys.argv[1:]]))"
    )
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, *[str(root)] * times], check=True, capture_output=True, text=True
            ).stdout
        )
        for times in (1, 3)
    ]
    print(f"peak memory: {peaks[0] >> 10} MiB over the tree, {peaks[1] >> 10} MiB over three times as much")


def peak(paths: list[Path]) -> int:
    """KiB that the process that reads needs at most, with all rules."""
    gatherer = Gatherer(RULES, Targets(TARGETS.cpus, TARGETS.systems, TARGETS.databases))
    for path in paths:
        for given in inputs_of(path, str(path))[0]:
            gatherer.gather(given)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
