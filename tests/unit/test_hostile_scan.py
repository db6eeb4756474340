"""Files that are made to harm the scan: each ends in a sentence, and costs only itself."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from harness.model.finding import Finding
from harness.scan import limits, readers, scan, sqltokens, texts
from harness.scan.exports import exported_symbols
from harness.scan.gathering import Facts, Gatherer
from harness.scan.listing import inputs_of
from tests.elves import elf
from tests.hostile_inputs import READ, SHORT, UNREAD, member_header, nested_zips, static_library_of_negative_size
from tests.inputs import tar
from tests.unit.test_scan_rules import RULES, TARGETS

GIB = 1 << 30


@pytest.fixture(autouse=True, scope="module")
def bounded() -> Iterator[None]:
    """Neither this process nor its readers take more than 1 GiB of addresses beside what there is already."""
    readers._forker(os.getpid()).close()
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    readers._forker(os.getpid()).close()


def unread(folder: Path) -> list[Finding]:
    return [finding for finding in scan([folder], RULES, TARGETS).findings if finding.rule == "READ-1"]


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_told_and_costs_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(UNREAD[name]())
    (tmp_path / "good.so").write_bytes(elf(machine="x86_64"))
    result = scan([tmp_path], RULES, TARGETS)
    assert result.unread >= 1
    lost = [finding for finding in result.findings if finding.rule == "READ-1"]
    assert {finding.file.partition("!/")[0] for finding in lost} == {str(tmp_path / name)}
    assert any(f.rule.startswith("ARCH") and f.file == str(tmp_path / "good.so") for f in result.findings)


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_is_read_in_time(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name]())
    assert unread(tmp_path) == []


@pytest.mark.parametrize("name", SHORT)
def test_a_program_or_library_that_is_cut_off_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SHORT[name]())
    (tmp_path / "good.so").write_bytes(elf(machine="x86_64"))
    (tmp_path / "good.a").write_bytes(b"!<arch>\n" + member_header("x.o/", 3) + b"xyz")  # without its padding
    told = [finding for finding in scan([tmp_path], RULES, TARGETS).findings if finding.rule == "ELF-1"]
    assert [finding.file for finding in told] == [str(tmp_path / name)]
    assert re.search("cut off|reaches beyond the end", told[0].message)


def test_a_static_library_of_negative_size_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.a").write_bytes(static_library_of_negative_size())
    findings = scan([tmp_path], RULES, TARGETS).findings
    assert any(f.file == str(tmp_path / "x.a") and "size" in f.message for f in findings), findings


# --- the reader, and its end ---

#: A rule whose expression takes ages over a line of this file: a loop in one call that no clock of ours can stop.
STUCK = RULES[0].model_copy(
    update={"id": "STUCK-1", "detect": "text", "parameters": {"languages": ["c"], "patterns": ["(a|aa)+$"]}}
)


def _readers() -> list[psutil.Process]:
    return [
        reader
        for forker in psutil.Process().children()
        if "harness.scan.worker" in " ".join(forker.cmdline())
        for reader in forker.children()
    ]


def test_an_input_that_ends_its_reader_loses_itself_alone(tmp_path: Path) -> None:
    for name in ("a-stuck.c", "m-stuck.c"):
        (tmp_path / name).write_text("a" * 200 + "b\n")
    for name in ("0.so", "b.so", "z.so"):
        (tmp_path / name).write_bytes(elf(machine="x86_64"))
    with ThreadPoolExecutor(1) as pool:
        scanned = pool.submit(scan, [tmp_path], [*RULES, STUCK], TARGETS)
        ended = set[int]()
        while not scanned.done():
            for reader in _readers():
                with contextlib.suppress(psutil.Error):
                    if reader.pid not in ended and reader.cpu_times().user > 0.3:
                        reader.kill()
                        ended.add(reader.pid)
            time.sleep(0.05)
        result = scanned.result()
    assert len(ended) == 2
    assert result.files == 3
    assert {f.file for f in result.findings if f.rule == "READ-1"} == {
        str(tmp_path / "a-stuck.c"),
        str(tmp_path / "m-stuck.c"),
    }
    assert {Path(f.file).name for f in result.findings if f.rule.startswith("ARCH")} == {"0.so", "b.so", "z.so"}


def test_two_scans_at_a_time_have_a_reader_each(tmp_path: Path) -> None:
    for folder, machine in (("one", "x86_64"), ("two", "aarch64")):
        (tmp_path / folder).mkdir()
        for i in range(30):
            (tmp_path / folder / f"{i}.so").write_bytes(elf(machine=machine))
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda folder: scan([tmp_path / folder], RULES, TARGETS), ("one", "two"))
    assert (one.files, two.files) == (30, 30)
    assert {f.file.rpartition("/")[0] for f in one.findings} == {str(tmp_path / "one")}


def test_a_server_of_readers_that_is_gone_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(elf(machine="x86_64"))
    for _ in range(2):
        assert scan([tmp_path], RULES, TARGETS).files == 1
        for child in psutil.Process().children():
            if "harness.scan.worker" in " ".join(child.cmdline()):
                child.kill()


def test_modules_beside_what_is_scanned_are_not_those_of_the_reader(tmp_path: Path) -> None:
    for name in ("pickle", "resource", "zstandard", "harness"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "x.so").write_bytes(elf(machine="x86_64"))
    root = str(Path(__file__).parents[2])
    script = (
        "import sys; from pathlib import Path; from harness.scan import scan; "
        "from tests.unit.test_scan_rules import RULES, TARGETS; print(scan([Path('x.so')], RULES, TARGETS).files)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert not (tmp_path / "ran").exists()


def _gathered(path: Path) -> Facts:
    inputs, _ = inputs_of(path, path.name)
    return Gatherer(RULES, TARGETS).gather(inputs[0])


def _slow() -> bytes:
    """Two members: a text that takes a second, and a library."""
    return tar([("slow.sql", b"INSERT INTO t VALUES (1);\n" * 20_000), ("x.so", elf(machine="x86_64"))])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_member_that_takes_too_long_loses_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes(_slow())
    monkeypatch.setattr(limits, "LOOK", 0.02)
    monkeypatch.setattr(limits, "seconds_of_file", lambda size: 0.1 if size > 1 << 18 else 60.0)
    facts = _gathered(tmp_path / "x.tar")
    assert [place for place, _ in facts.unread] == ["x.tar!/slow.sql"]
    assert [fact.place for fact in facts.elves] == ["x.tar!/x.so"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_end_that_is_lost_in_a_finalizer_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __del__(self) -> None:
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass

    def slow(*_: object) -> tuple[str, ...]:
        Slow()
        end = time.process_time() + 20
        while time.process_time() < end:
            pass
        return ()

    (tmp_path / "x.sql").write_text("SELECT 1;")
    monkeypatch.setattr(limits, "LOOK", 0.02)
    monkeypatch.setattr(limits, "seconds_of_file", lambda size: 0.1)
    monkeypatch.setattr(texts, "languages_of", slow)
    assert [place for place, _ in _gathered(tmp_path / "x.sql").unread] == ["x.sql"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_input_that_takes_too_long_is_left_and_keeps_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tar").write_bytes(_slow())
    monkeypatch.setattr(limits, "LOOK", 0.02)
    monkeypatch.setattr(limits, "seconds_of_input", lambda size: 0.1)
    facts = _gathered(tmp_path / "x.tar")
    assert ("x.tar", "reading it takes far more time than its size allows; the rest was not read") in facts.unread
    assert facts.files == 1
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_archives_that_are_small_each_and_many_spend_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.zip").write_bytes(nested_zips())
    monkeypatch.setattr(limits, "UNFOLDED", 32 << 20)
    facts = _gathered(tmp_path / "x.zip")
    assert 1 <= facts.files <= 10
    assert ("x.zip", "it unfolds to far more than its size: an archive bomb; the rest was not read") in facts.unread


def test_a_folder_that_cannot_be_listed_is_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "x.so").write_bytes(elf(machine="x86_64"))
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [(f.file, f.message) for f in unread(tmp_path)] == [(str(tmp_path / "closed"), "Permission denied")]


def test_pipes_and_links_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "x.so").write_bytes(elf(machine="x86_64"))
    assert scan([tmp_path, tmp_path / "pipe"], RULES, TARGETS).files == 1


def test_names_that_are_no_unicode_come_out_whole(tmp_path: Path) -> None:
    odd = os.fsdecode(bytes(tmp_path) + b"/\xff.c")
    Path(odd).write_text('__asm__("cpuid");\n')
    names = tar([("\udcfe.py", b"x"), ("../\udcfd", b"x")])
    (tmp_path / "x.tar").write_bytes(names)
    json_name = b'{"name": "\\ud800", "version": 1}'
    (tmp_path / "package.json").write_bytes(json_name)
    result = scan([tmp_path], RULES, TARGETS)
    text = repr((result.findings, result.components))
    assert text.isprintable()
    assert not re.search("[\ud800-\udfff]", text)


def test_an_input_of_endless_trouble_is_told_in_bounds(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(3000):
            archive.writestr(f"../{i}.7z", b"7z\xbc\xaf\x27\x1c" + b"x" * 20)
    (tmp_path / "x.zip").write_bytes(out.getvalue())
    facts = _gathered(tmp_path / "x.zip")
    assert len(facts.unread) == len(facts.names) == limits.NOTES + 1
    assert facts.unread[-1] == ("x.zip", "2000 more places in it could not be read")


# --- SQL in pieces ---


def test_statements_are_the_same_in_pieces_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(
        f"CREATE TABLE t{i} (a INT);\nINSERT INTO t VALUES ('x;\ny', {i}); -- it;\n\n/* a;\n b;\n*/ SELECT {i};\n"
        for i in range(40)
    )
    whole = [(s.text, s.line + s.above) for s in sqltokens.statements(text)]
    for size in (1, 50, 333):
        monkeypatch.setattr(sqltokens, "PIECE", size)
        assert [(s.text, s.line + s.above) for s in sqltokens.statements(text)] == whole
    assert len(whole) == 120


def test_symbols_of_a_file_whose_tables_lie_nowhere_are_none() -> None:
    for where in (2**63, 2**64 - 1):
        assert (
            exported_symbols(b"\x7fELF\x02\x01" + b"\0" * 34 + struct.pack("<Q10xHH", where, 64, 3) + b"\0" * 8)
            == set()
        )
