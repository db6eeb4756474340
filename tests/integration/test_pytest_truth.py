"""What pytest itself says of a test is what is recorded of it, and nothing that failed or did not run is a pass."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.execution.attempt import Attempt
from harness.model.results import Cause, Observation, Result
from harness.reading.collection import collected
from harness.runners.pytest.run import PRELOAD, run_pytest
from harness.system.forking import ForkServer
from tests.suite_runs import Kept, context, located, run

FAIL, ERROR, MISS, SKIP, PASS = Result.FAIL, Result.ERROR, Result.MISS, Result.SKIP, Result.PASS
#: A picture of one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf50"
    "0f0003860180a45d3d1b0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer([PRELOAD])
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "own"
    place.mkdir()
    return place


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def shown(seen: dict[str, Observation]) -> dict[str, tuple[Result, Cause | None]]:
    return {test: (one.result, one.cause) for test, one in seen.items()}


def test_every_kind_of_outcome(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_kinds.py",
        """
        import asyncio, json, sys, unittest
        import pytest
        from harness.control.fault import ProductFault
        from harness.errors import InfrastructureError

        def test_good(): pass
        def test_bad(): assert 1 == 2
        def test_product_fault(): raise ProductFault("it broke", "坏了", "last line")
        def test_key_error(): {}["absent"]
        def test_json(): json.loads("<html>")
        def test_exits(): sys.exit(0)
        def test_lab(): raise InfrastructureError("the lab is gone")
        async def test_coroutine(): assert False
        def test_unknown_fixture(no_such_fixture): pass
        def test_subtest_fails(subtests):
            with subtests.test("first"): pass
            with subtests.test("second", i=2): assert 1 == 3
        def test_subtest_is_broken(subtests):
            with subtests.test("second"): {}["absent"]
        def test_subtests_pass(subtests):
            with subtests.test("first"): pass
        @pytest.mark.xfail(reason="known")
        def test_xfail(): assert False
        @pytest.mark.xfail(reason="known", strict=True)
        def test_xfail_strict(): assert False
        @pytest.mark.xfail(reason="never", run=False)
        def test_xfail_not_run(): pass
        @pytest.mark.xfail(reason="known")
        def test_xpass(): pass
        @pytest.mark.xfail(reason="known", strict=True)
        def test_xpass_strict(): pass
        def test_gives_up(): pytest.xfail("known")
        @pytest.fixture
        def broken(): raise RuntimeError("fixture broke")
        @pytest.fixture
        def asserting(): assert 0, "not prepared"
        @pytest.fixture
        def leaves():
            yield
            assert 0, "not tidied"
        @pytest.fixture
        def fails_late():
            yield
            raise ProductFault("left a process", "残留")
        def test_broken_fixture(broken): pass
        def test_asserting_fixture(asserting): pass
        def test_teardown_asserts(leaves): pass
        def test_teardown_fault(fails_late): pass
        def test_fails_and_teardown_asserts(leaves): assert 0, "the call"
        def test_raises():
            with pytest.raises(ValueError): pass
        @pytest.mark.parametrize("x", [1, 2, 3])
        def test_one_of_three(x): assert x != 2
        @pytest.mark.skip(reason="not-applicable: no such thing here")
        def test_marked_skip(): pass
        def test_skip_without_code(): pytest.skip("I felt like it")
        class Base:
            def test_inherited(self): assert self.value == 1
        class TestOne(Base): value = 1
        class TestTwo(Base): value = 2
        class TestCase(unittest.TestCase):
            def test_unit_subtests(self):
                for i in range(3):
                    with self.subTest(i=i): self.assertNotEqual(i, 1)
            def test_unit_good(self): pass
        for name in ("alpha", "beta"):
            def body(name=name): assert name == "alpha"
            globals()[f"test_generated_{name}"] = body
        """,
    )
    expected = {
        "test_good": (PASS, None),
        "test_bad": (FAIL, None),
        "test_product_fault": (FAIL, None),
        "test_key_error": (ERROR, Cause.TEST),
        "test_json": (ERROR, Cause.TEST),
        "test_exits": (ERROR, Cause.TEST),
        "test_lab": (ERROR, Cause.INFRA),
        "test_coroutine": (ERROR, Cause.TEST),
        "test_unknown_fixture": (ERROR, Cause.TEST),
        "test_subtest_fails": (FAIL, None),
        "test_subtest_is_broken": (ERROR, Cause.TEST),
        "test_subtests_pass": (PASS, None),
        "test_xfail": (FAIL, None),
        "test_xfail_strict": (FAIL, None),
        "test_xfail_not_run": (MISS, Cause.TEST),
        "test_xpass": (PASS, None),
        "test_xpass_strict": (ERROR, Cause.TEST),
        "test_gives_up": (FAIL, None),
        "test_broken_fixture": (ERROR, Cause.TEST),
        "test_asserting_fixture": (ERROR, Cause.TEST),
        "test_teardown_asserts": (ERROR, Cause.TEST),
        "test_teardown_fault": (FAIL, None),
        "test_fails_and_teardown_asserts": (FAIL, None),
        "test_raises": (FAIL, None),
        "test_one_of_three": (FAIL, None),
        "test_marked_skip": (SKIP, None),
        "test_skip_without_code": (ERROR, Cause.TEST),
        "TestOne::test_inherited": (PASS, None),
        "TestTwo::test_inherited": (FAIL, None),
        "test_unit_subtests": (FAIL, None),
        "test_unit_good": (PASS, None),
        "test_generated_alpha": (PASS, None),
        "test_generated_beta": (FAIL, None),
    }
    seen = run(forks, folder, *expected)
    assert shown(seen) == expected
    assert "it broke" in seen["test_product_fault"].detail
    assert "last line" in seen["test_product_fault"].detail
    assert "async def functions are not natively supported" in seen["test_coroutine"].detail
    assert "passed although it is expected to fail" in seen["test_xpass"].detail


def test_cases_are_chosen_by_their_exact_names(forks: ForkServer, folder: Path) -> None:
    """A name in the name of the file, a name that begins another one, names that differ in case."""
    write(folder, "test_stop.py", "def test_stop(): pass\ndef test_stop_hard(): assert 0, 'not asked for'\n")
    write(folder, "test_read.py", "def test_read(): pass\ndef test_Read(): assert 0\n")
    write(folder, "other_test.py", "def test_in_the_other_pattern(): assert 0\n")
    write(folder, "深/test_中文.py", "def test_读取(): pass\ndef test_写入(): assert 0, '写入失败'\n")
    tests = ("test_stop", "test_stop_hard", "test_read", "test_Read", "test_in_the_other_pattern", "test_读取")
    seen = run(forks, folder, *tests, "深/test_中文.py::test_写入", test_stop_hard={"when": "end"})
    assert [seen[test].result for test in seen] == [PASS, FAIL, PASS, FAIL, FAIL, PASS, FAIL]
    assert "写入失败" in seen["深/test_中文.py::test_写入"].detail


def test_only_the_cases_of_one_time_are_run(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_stop.py",
        """
        import pathlib
        here = pathlib.Path(__file__).with_name("ran")
        def test_stop(): here.open("a").write("stop ")
        def test_uninstall(): here.open("a").write("uninstall ")
        """,
    )
    suite = located(folder, "test_stop", "test_uninstall", test_uninstall={"when": "end"})
    ledger: Any = Kept()
    for when in ("main", "end"):
        cases = tuple(case for case in suite.definition.cases if case.when == when)
        seen = run_pytest(suite, cases, context(folder), ledger, threading.Event(), forks)
        assert [one.result for one in seen] == [PASS]
    assert (folder / "ran").read_text() == "stop uninstall "
    assert set(ledger.files) == {"own-main-pytest.log", "own-end-pytest.log"}


def test_a_name_that_means_two_functions_decides_nothing(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "def test_read(): pass\n")
    write(folder, "test_b.py", "def test_read(): assert 0\n")
    seen = run(forks, folder, "test_read")["test_read"]
    assert (seen.result, seen.cause) == (ERROR, Cause.TEST)
    assert "test_a.py::test_read, test_b.py::test_read" in seen.detail
    both = run(forks, folder, "test_a.py::test_read", "test_b.py::test_read")
    assert [one.result for one in both.values()] == [PASS, FAIL]


@pytest.mark.parametrize(
    ("settings", "conftest", "reason"),
    [
        ("[pytest]\naddopts = -k good\n", "", "deselected"),
        ("", "def pytest_collection_modifyitems(items): del items[1:]\n", "deselected"),
        ("[pytest]\naddopts = -x\n", "", "not run"),
        ("[pytest]\naddopts = --collect-only\n", "", "not run"),
        ("[pytest]\naddopts = --no-such-option\n", "", "no-such-option"),
    ],
)
def test_what_the_suite_leaves_out_is_a_miss(
    forks: ForkServer, folder: Path, settings: str, conftest: str, reason: str
) -> None:
    write(folder, "test_a.py", "def test_good(): assert 0\ndef test_left(): pass\n")
    if settings:
        write(folder, "pytest.ini", settings)
    if conftest:
        write(folder, "conftest.py", conftest)
    seen = run(forks, folder, "test_good", "test_left")
    assert shown(seen)["test_left"] == (MISS, Cause.TEST)
    assert reason in seen["test_left"].detail
    assert seen["test_good"].result is not PASS


def test_tests_without_a_case_are_named_and_nothing_passes(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "def test_good(): pass\ndef test_nobody_lists_me(): assert 0\n")
    seen = run(forks, folder, "test_good")["test_good"]
    assert (seen.result, seen.cause) == (ERROR, Cause.TEST)
    assert "test_a.py::test_nobody_lists_me" in seen.detail


def test_a_file_that_cannot_be_imported_leaves_the_others_alone(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "def test_good(): pass\n")
    write(folder, "test_b.py", "import no_such_module_at_all\ndef test_lost(): pass\n")
    seen = run(forks, folder, "test_good", "test_lost")
    assert shown(seen) == {"test_good": (PASS, None), "test_lost": (MISS, Cause.TEST)}
    assert "No module named 'no_such_module_at_all'" in seen["test_lost"].detail.splitlines()[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import os; os._exit(0)", "with status 0 before its session was over"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "by signal 9 (SIGKILL)"),
        ("import ctypes; ctypes.string_at(0)", "by signal 11 (SIGSEGV)"),
        ("raise KeyboardInterrupt", "exit status 2"),
        ("import pytest; pytest.exit('enough', returncode=0)", "exit status 0"),
    ],
)
def test_an_end_of_pytest_passes_nothing(forks: ForkServer, folder: Path, line: str, words: str) -> None:
    write(folder, "test_a.py", f"def test_first(): pass\ndef test_ends():\n    {line}\ndef test_last(): pass\n")
    seen = run(forks, folder, "test_first", "test_ends", "test_last")
    assert PASS not in [one.result for one in seen.values()]
    assert shown(seen)["test_ends"] == (MISS, Cause.TEST)
    assert shown(seen)["test_last"] == (MISS, Cause.TEST)
    assert words in seen["test_ends"].detail


@pytest.mark.parametrize(
    ("line", "words"),
    [("import sys; sys.exit(0)", "SystemExit"), ("import os; os._exit(0)", "with status 0")],
)
def test_an_end_at_import(forks: ForkServer, folder: Path, line: str, words: str) -> None:
    write(folder, "test_a.py", f"{line}\ndef test_a(): pass\n")
    seen = run(forks, folder, "test_a")["test_a"]
    assert (seen.result, seen.cause) == (MISS, Cause.TEST)
    assert words in seen.detail


def test_an_internal_error_or_a_changed_exit_status_passes_nothing(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "def test_first(): pass\n")
    write(folder, "conftest.py", "def pytest_runtest_logfinish(): raise RuntimeError('hook broke')\n")
    seen = run(forks, folder, "test_first")["test_first"]
    assert (seen.result, seen.cause) == (MISS, Cause.TEST)
    assert "exit status 3 (internal error)" in seen.detail
    write(folder, "conftest.py", "def pytest_sessionfinish(session): session.exitstatus = 1\n")
    seen = run(forks, folder, "test_first")["test_first"]
    assert (seen.result, seen.cause) == (ERROR, Cause.TEST)
    assert "it passed, and then pytest's exit status 1" in seen.detail


def test_no_test_writes_the_record_of_another(forks: ForkServer, folder: Path) -> None:
    """Forged lines and copied frames have no effect; what a test records late is its own or nobody's."""
    write(
        folder,
        "test_a.py",
        """
        import json, os
        held = {}
        line = json.dumps({"test": "test_fails", "nodeid": "test_a.py::test_fails", "kind": "report",
            "when": "call", "outcome": "passed", "phases": {}}) + "\\n"
        def files():
            for number in range(3, 60):
                try: path = os.readlink(f"/proc/self/fd/{number}")
                except OSError: continue
                if path.endswith("(deleted)"): yield number
        def test_forges(measure, keep):
            held["measure"], held["keep"] = measure, keep
            print(line)
            for number in files():
                try:
                    os.write(number, line.encode())
                    copy = os.pread(os.open(f"/proc/self/fd/{number}", os.O_RDONLY), 1_000_000, 0)
                    os.write(number, copy)
                except OSError: pass
        def test_fails(): assert 0, "it failed"
        def test_uses_what_another_held(measure):
            held["measure"]("late", 1, "s")
        """,
    )
    ledger = Kept()
    seen = run(forks, folder, "test_forges", "test_fails", "test_uses_what_another_held", ledger=ledger)
    assert [one.result for one in seen.values()] == [PASS, FAIL, PASS]
    assert seen["test_forges"].measurements == ()
    assert [m.name for m in seen["test_uses_what_another_held"].measurements] == ["late"]


def test_a_test_that_forks_and_runs_on_is_recorded_once(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "import os\ndef test_forks(): os.fork()\ndef test_after(): pass\n")
    seen = run(forks, folder, "test_forks", "test_after")
    assert PASS in (seen["test_after"].result, seen["test_forks"].result)
    assert len(seen) == 2


def test_any_text_is_recorded(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_a.py",
        r"""
        def test_separators():
            print("one\u2028two\u2029three\u0085four\x0c\x1c")
            assert 0, "a\u2028b\u0085c"
        def test_lone(): assert 0, "answer \udcd6\udcd0"
        def test_control(): assert 0, "bell \x07 nul \x00 escape \x1b[31m"
        def test_huge(): assert 0, "x" * 10_000_000
        def test_huge_output(): print("y" * 10_000_000); assert 0
        def test_after(): pass
        """,
    )
    tests = ("test_separators", "test_lone", "test_control", "test_huge", "test_huge_output", "test_after")
    seen = run(forks, folder, *tests)
    assert [one.result for one in seen.values()] == [FAIL] * 5 + [PASS]
    assert "a\u2028b\u0085c" in seen["test_separators"].detail
    assert "answer \\udcd6\\udcd0" in seen["test_lone"].detail
    for one in seen.values():
        one.detail.encode()


def test_measurements_are_as_exact_as_what_was_measured(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_a.py",
        """
        import math
        from decimal import Decimal
        def test_small(measure):
            for value in (9.567e-07, 0.956702689901524, Decimal("0.00042"), 1e300, True): measure("x", value, "1")
        def test_nan(measure): measure("relative error", math.nan, "1")
        def test_inf(measure): measure("gain", -math.inf, "1")
        def test_word(measure): measure("gain", "much", "1")
        """,
    )
    seen = run(forks, folder, "test_small", "test_nan", "test_inf", "test_word")
    assert [m.value for m in seen["test_small"].measurements] == [9.567e-07, 0.956702689901524, 0.00042, 1e300, 1.0]
    for test in ("test_nan", "test_inf", "test_word"):
        assert (seen[test].result, seen[test].cause) == (ERROR, Cause.TEST)
    assert "measure('relative error'): nan is no finite number" in seen["test_nan"].detail


def test_evidence_is_bytes_with_a_media_type(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_a.py",
        f"""
        PNG = bytes.fromhex("{PNG.hex()}")
        def test_keeps(keep):
            keep("screen.png", PNG, "image/png")
            keep("screen.png", PNG, "image/png")
            keep("看/../a.txt", "文本 \\udcd6")
            keep("log.txt", "z" * 40_000_000)
            keep("film.webm", b"0" * 40_000_000, "video/webm")
        def test_keeps_and_dies(keep):
            keep("last.png", PNG, "image/png")
            assert 0
        def test_wrong(keep): keep("screen.png", b"no picture", "image/png")
        def test_no_media(keep): keep("screen.png", PNG, "png")
        """,
    )
    ledger = Kept()
    seen = run(forks, folder, "test_keeps", "test_keeps_and_dies", "test_wrong", "test_no_media", ledger=ledger)
    assert ledger.files["T-0-screen.png"] == (PNG, "image/png")
    assert ledger.files["T-0-screen-2.png"] == (PNG, "image/png")
    assert ledger.files["T-0-看-..-a.txt"] == ("文本 \\udcd6".encode(), "text/plain")
    assert ledger.files["T-1-last.png"] == (PNG, "image/png")
    text, _ = ledger.files["T-0-log.txt"]
    assert text.endswith(b"the limit is 33554432 for one piece, 134217728 for a test]")
    note, media = ledger.files["T-0-film.webm"]
    assert (note[:20], media) == (b"[left out: 40000000 ", "text/plain")
    assert seen["test_keeps"].evidence == tuple(name for name in ledger.files if name.startswith("T-0-"))
    assert shown(seen)["test_wrong"] == shown(seen)["test_no_media"] == (ERROR, Cause.TEST)


def test_a_case_that_heeds_its_limit_leaves_time_for_the_others(forks: ForkServer, folder: Path) -> None:
    write(folder, "test_a.py", "import time\ndef test_hangs(): time.sleep(60)\ndef test_after(): pass\n")
    seen = run(forks, folder, "test_hangs", "test_after", test_hangs={"seconds": 0.3})
    assert shown(seen) == {"test_hangs": (ERROR, Cause.TIMEOUT), "test_after": (PASS, None)}


def test_a_case_that_catches_its_limit_does_not_pass_by_going_on(forks: ForkServer, folder: Path) -> None:
    write(
        folder,
        "test_a.py",
        """
        import time
        def test_polls():
            try: time.sleep(60)
            except: pass
        def test_polls_and_fails():
            try: time.sleep(60)
            except: pass
            assert 0
        def test_after(): pass
        """,
    )
    limit = {"seconds": 0.3}
    tests = ("test_polls", "test_polls_and_fails", "test_after")
    seen = run(forks, folder, *tests, test_polls=limit, test_polls_and_fails=limit)
    assert shown(seen) == {
        "test_polls": (ERROR, Cause.TIMEOUT),
        "test_polls_and_fails": (FAIL, None),
        "test_after": (PASS, None),
    }
    assert "it went on after its limit" in seen["test_polls"].detail


def test_a_suite_that_heeds_no_limit_is_ended_and_keeps_its_log(
    forks: ForkServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runners.pytest.run.GRACE_SECONDS", 0.5)
    write(
        folder,
        "test_a.py",
        """
        import time
        def test_first(): pass
        def test_swallows():
            print("last words", flush=True)
            while True:
                try: time.sleep(60)
                except BaseException: pass
        def test_after(): pass
        """,
    )
    write(folder, "pytest.ini", "[pytest]\naddopts = -s\n")
    ledger = Kept()
    tests = ("test_first", "test_swallows", "test_after")
    seen = run(forks, folder, *tests, ledger=ledger, test_swallows={"seconds": 0.3})
    assert shown(seen) == {
        "test_first": (PASS, None),
        "test_swallows": (ERROR, Cause.TIMEOUT),
        "test_after": (MISS, Cause.TIMEOUT),
    }
    assert "test_a.py::test_swallows did not end within" in seen["test_after"].detail
    assert b"last words" in ledger.files["own-main-pytest.log"][0]


def test_settings_of_a_folder_further_up_do_not_count(forks: ForkServer, folder: Path) -> None:
    write(folder.parent, "pytest.ini", "[pytest]\naddopts = --no-such-option\n")
    write(folder, "setup.cfg", "[metadata]\nname = own\n")
    write(folder, "pyproject.toml", "[project]\nname = 'own'\n")
    write(folder, "test_a.py", "def test_good(): pass\n")
    assert run(forks, folder, "test_good")["test_good"].result is PASS
    write(folder, "pyproject.toml", "[tool.pytest.ini_options]\npython_files = ['check_*.py']\n")
    write(folder, "check_more.py", "def test_by_own_pattern(): assert 0\n")
    (folder / "test_a.py").unlink()
    assert run(forks, folder, "test_by_own_pattern")["test_by_own_pattern"].result is FAIL


def test_a_suite_that_kills_what_it_is_forked_from_hurts_itself_only(folder: Path) -> None:
    own = ForkServer([PRELOAD])
    write(folder, "test_a.py", "import os, signal\ndef test_kills(): os.kill(os.getppid(), signal.SIGKILL)\n")
    write(folder, "other/test_b.py", "def test_good(): pass\n")
    with pytest.raises(InfrastructureError, match="gone"):
        run(own, folder, "test_kills")
    assert run(own, folder / "other", "test_good")["test_good"].result is PASS
    own.close()


@pytest.mark.parametrize("left", [4, 8, 32, 128])
def test_a_full_temporary_folder_is_this_machines(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """KiB that are left: for a part of what a suite is given, or for that and a part of its records."""
    write(folder, "test_a.py", "def test_good(): pass\ndef test_keeps(keep): keep('x', 'x' * 200_000)\n")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        monkeypatch.setenv("TMPDIR", str(small))
        monkeypatch.setattr(tempfile, "tempdir", None)
        (small / "ballast").write_bytes(bytes((256 - left) * 1024))
        attempt: Any = SimpleNamespace(lab=SimpleNamespace(cancel=threading.Event()))
        with contextlib.closing(ForkServer([PRELOAD])) as forks:
            try:
                causes = {one.cause for one in run(forks, folder, "test_good", "test_keeps").values()}
            except (InfrastructureError, OSError) as error:
                causes = {Attempt.ended(attempt, error).cause}
        assert causes == {Cause.INFRA}
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_pytest_itself_says_what_a_folder_has(folder: Path) -> None:
    write(
        folder,
        "test_a.py",
        """
        import unittest
        class Base:
            def test_inherited(self): ...
        class TestOne(Base): ...
        class Cases(unittest.TestCase):
            def test_unit(self): ...
        for name in ("甲", "b"): globals()[f"test_{name}"] = lambda: None
        """,
    )
    write(folder, "check_b.py", "async def test_by_own_pattern(): ...\n")
    write(folder, "test_broken.py", "import no_such_module_at_all\ndef test_lost(): ...\n")
    write(folder, "pytest.ini", "[pytest]\npython_files = test_*.py check_*.py\naddopts = -k nothing\n")
    seen = collected(folder)
    assert sorted(test.function for test in seen.tests) == [
        "check_b.py::test_by_own_pattern",
        "test_a.py::Cases::test_unit",
        "test_a.py::TestOne::test_inherited",
        "test_a.py::test_b",
        "test_a.py::test_甲",
        "test_broken.py::test_lost",
    ]
    assert [path for path, _ in seen.broken] == ["test_broken.py"]
    assert "No module named 'no_such_module_at_all'" in seen.broken[0][1].splitlines()[0]
