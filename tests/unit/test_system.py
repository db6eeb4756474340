"""Programs, waiting, turns, masks."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Canceled, InfrastructureError, StepTimeout
from harness.system.bounded import MAX_OUTPUT, Bounded, read_bounded
from harness.system.process import run, without_proxy
from harness.system.redact import redact, token
from harness.system.wait import wait_until


def test_run_gives_status_and_texts() -> None:
    done = run(
        [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], timeout=30
    )
    assert (done.rc, done.out, done.err) == (3, "out\n", "err\n")


def test_run_takes_input_and_large_output() -> None:
    done = run(
        [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read() * 3)"], timeout=30, stdin=b"x" * 500_000
    )
    assert len(done.out) == 1_500_000


def test_the_limit_ends_the_whole_group() -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '77.25']).pid, flush=True); time.sleep(77)"
    with pytest.raises(StepTimeout, match="did not end within"):
        run([sys.executable, "-c", code], timeout=1)
    time.sleep(0.2)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "77.25" in (p.info["cmdline"] or [])]


def test_cancel_ends_it_soon() -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        run(["sleep", "30"], timeout=60, cancel=cancel)
    assert time.monotonic() - started < 5


def test_a_missing_program_says_what_to_do() -> None:
    with pytest.raises(InfrastructureError, match="make setup"):
        run(["no-such-program-here"], timeout=1)


def test_wait_until_gives_the_value_or_tells() -> None:
    values = iter([None, False, 7])
    assert wait_until(lambda: next(values), seconds=5, what="it", interval=0.01) == 7
    with pytest.raises(StepTimeout, match="the moon"):
        wait_until(lambda: None, seconds=0.05, what="the moon", interval=0.01)


@given(st.text(min_size=6, max_size=20, alphabet="abcdef0123456789"), st.text(max_size=50), st.text(max_size=50))
def test_a_secret_never_gets_through(secret: str, before: str, after: str) -> None:
    assert secret not in redact(before + secret + after, [secret, "x"]).replace("•", "")


def test_tokens_differ_and_need_no_quoting() -> None:
    assert token() != token()
    assert token().isalnum()


def test_a_proxy_of_the_environment_is_kept_away_from_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intranet.example,10.0.0.1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert without_proxy()["NO_PROXY"] == "intranet.example,10.0.0.1,127.0.0.1,localhost"
    both = ("172.18.0.2", "172.18.0.3")
    assert without_proxy(*both)["no_proxy"].endswith(",localhost,172.18.0.2,172.18.0.3")


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(min_value=2, max_value=200))
def test_bounded_output_keeps_the_beginning_and_the_end(pieces: list[bytes], limit: int) -> None:
    kept, whole = Bounded(limit), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    half = limit // 2
    if len(whole) <= 2 * half:
        assert (kept.value, kept.dropped) == (whole, 0)
        return
    assert kept.dropped == len(whole) - 2 * half
    note = b"\n[... %d bytes cut by the harness ...]\n" % kept.dropped
    assert kept.value == whole[:half] + note + whole[-half:]


def test_a_long_file_is_read_in_part(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"a" * 50 + b"b" * 50)
    assert read_bounded(file, 100) == "a" * 50 + "b" * 50
    assert read_bounded(file, 10) == "aaaaa\n[... 90 bytes cut by the harness ...]\nbbbbb"


def test_the_limit_ends_what_outlives_its_leader() -> None:
    """In the leader's process group, and in a group of its own within the session."""
    for script in ("sleep 77.125 & exit 0", "set -m; sleep 77.125 & exit 0"):
        with pytest.raises(StepTimeout):
            run(["sh", "-c", script], timeout=0.3)
        wait_until(lambda: not _running("77.125"), seconds=5, what="the end of what was left")


def test_cancel_ends_what_outlives_its_leader() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Canceled):
        run(["sh", "-c", "sleep 77.375 & exit 0"], timeout=60, cancel=cancel)
    wait_until(lambda: not _running("77.375"), seconds=5, what="the end of what was left")


def test_a_program_that_prints_without_end_costs_no_memory() -> None:
    done = run(["sh", "-c", "head -c 64000000 /dev/zero | tr '\\0' x; yes | head -c 20000000 >&2"], timeout=60)
    assert done.ok
    assert len(done.out) < MAX_OUTPUT + 100
    assert len(done.err) < MAX_OUTPUT + 100
    assert "bytes cut by the harness" in done.out


def _running(word: str) -> bool:
    return any(word in (process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


@pytest.mark.parametrize("secret", ['s3cret-Valüe/+"7', "0123456789abcdef01234567"])
@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        json.dumps,
        urllib.parse.quote,
        urllib.parse.quote_plus,
        lambda secret: urllib.parse.quote(secret, safe=""),
        lambda secret: secret.encode().hex(),
        *(
            lambda secret, before=before: base64.b64encode(f"{before}:{secret}".encode()).decode()
            for before in ("u", "us", "user")
        ),
    ],
)
def test_a_secret_is_masked_in_whatever_form_it_is_written(secret: str, write: Callable[[str], str]) -> None:
    masked = redact(f"before {write(secret)} after", [secret])
    assert "•" in masked
    assert write(secret)[4:-4] not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "holds"),
    [(64, 256, 128, 128), (64, 100, 128, 100), (200, 256, 128, 200), (64, 64, 128, 64)],
    ids=["raised", "to the hard limit", "never lowered", "nothing left"],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(soft: int, hard: int, wanted: int, holds: int) -> None:
    code = (
        "import resource\nfrom harness.system.descriptors import raise_limit\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"print(raise_limit({wanted}), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    answer = run([sys.executable, "-c", code], timeout=60)
    assert answer.out.split() == [str(holds), str(holds), str(hard)], answer.text
