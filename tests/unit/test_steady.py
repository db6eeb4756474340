"""What samples beside a load say of a product: even, uneven, leaking, not to be seen, and too few to say anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.control.fault import ProductFault
from harness.hosts.local import LocalMachine
from harness.model.definitions import Additions, Case, Limits, LoadProfile
from harness.model.results import Cause, Result, SkipReason
from harness.presentation.terminal import terminal_picture
from harness.provision import posix
from harness.provision.system_state import LIST, SystemState
from harness.runners.locust import system_log
from harness.runners.locust.criteria import Target, criterion
from harness.runners.locust.steady import STEADY, steadiness
from harness.runners.locust.system_log import TROUBLE, SystemLog

PROFILE = LoadProfile(rate=10, hold=36, p95_ms=100, error_rate=0.01, window=6, drop=3)
LIMITS = Limits(memory="400m", cpus=2, processes=64)
TIMES = [0.5 * number for number in range(80)]


def outcome(**change: Any) -> dict[str, Any]:
    return {
        "ramp": 1,
        "samples": [(2.0, 5.0, 5.0, True)],
        "resources": [(t, 50.0, 100.0) for t in TIMES],
        "transfers": [(t, 0.5, 2.0) for t in TIMES],
        "system log": [],
        "generator cpu": 10.0,
        "lag p95": 1.0,
        "machine busy": 0.5,
        "machine cpu": 100.0,
        **change,
    }


def observed(
    test: str,
    seen: dict[str, Any],
    *,
    emulated: bool = False,
    crashed: ProductFault | None = None,
    profile: LoadProfile = PROFILE,
) -> Any:
    case = Case(
        id="S-1",
        test=test,
        title="s",  # type: ignore[arg-type]
        characteristic="performance_efficiency" if test.endswith("_spread") else "reliability/maturity",
        clause="5.3.5",
        blocker=True,
    )
    return criterion(
        case,
        "load/stability",
        seen,
        profile,
        {},
        crashed,
        target=Target(emulated=emulated, judged=not emulated),
        limits=LIMITS,
    )


@pytest.mark.parametrize("test", STEADY)
def test_a_product_that_ends_under_the_load_passes_nothing(test: str) -> None:
    early = outcome(resources=[(t, 50.0, 100.0) for t in TIMES[:20]])
    seen = observed(test, early, crashed=ProductFault("it exited with status 7", "退出状态 7", ""))
    assert seen.result is Result.FAIL
    assert "status 7" in seen.detail


@pytest.mark.parametrize("test", ["cpu_spread", "memory_spread", "memory_leak"])
@pytest.mark.parametrize(
    "times", [TIMES[:50], [t for t in TIMES if not 12 <= t < 21]], ids=["samples end early", "samples have a gap"]
)
def test_what_was_not_sampled_is_not_judged(test: str, times: list[float]) -> None:
    seen = observed(test, outcome(resources=[(t, 50.0, 100.0) for t in times]))
    assert (seen.result, seen.cause) == (Result.ERROR, Cause.INFRA)


@pytest.mark.parametrize("test", STEADY)
def test_an_even_product_passes(test: str) -> None:
    assert observed(test, outcome()).result is Result.PASS


@pytest.mark.parametrize(
    ("test", "change", "words"),
    [
        ("cpu_spread", {"resources": [(t, 90.0 * (t % 12 < 6), 100.0) for t in TIMES]}, "of what the machine may use"),
        ("memory_spread", {"resources": [(t, 1.0, 100 + 2 * t) for t in TIMES]}, "threshold 5 %"),
        ("disk_spread", {"transfers": [(t, 1.0 + (t % 12 < 6), 2.0) for t in TIMES]}, "of the mean"),
        ("network_spread", {"transfers": [(t, 0.5, 2 + t / 10) for t in TIMES]}, "of the mean"),
        ("memory_leak", {"resources": [(t, 1.0, 100 + 0.5 * t) for t in TIMES]}, "grew in each third"),
        ("system_log", {"system log": ["kernel: I/O error"]}, "kernel: I/O error"),
    ],
)
def test_each_fault_is_named_by_its_criterion_alone(test: str, change: dict[str, Any], words: str) -> None:
    seen = observed(test, outcome(**change))
    assert seen.result is Result.FAIL
    assert words in seen.detail
    others = {other: observed(other, outcome(**change)).result for other in STEADY if other != test}
    allowed = {"memory_leak"} if test == "memory_spread" else set()
    assert {other for other, result in others.items() if result is not Result.PASS} <= allowed
    busy = {"machine busy": 0.99, "machine cpu": 2000.0}
    excused = observed(test, outcome(**change, **busy))
    hidden = Result.ERROR if test == "memory_leak" else Result.SKIP  # a leak is no question of performance
    assert excused.result is (hidden if STEADY[test] else Result.FAIL)
    assert excused.cause is (Cause.INFRA if excused.result is Result.ERROR else None)


def test_first_and_last_seconds_do_not_count() -> None:
    wild = [(t, 200.0 if t < 5 or t > 37 else 50.0, 100.0) for t in TIMES]
    assert observed("cpu_spread", outcome(resources=wild)).result is Result.PASS
    assert (
        observed("cpu_spread", outcome(resources=[(t, 200.0 * (15 < t < 20), 1.0) for t in TIMES])).result
        is Result.FAIL
    )


def test_what_is_next_to_idle_spreads_as_it_likes() -> None:
    seen = steadiness("disk_spread", outcome(transfers=[(t, 0.08 * (t % 12 < 6), 2.0) for t in TIMES]), PROFILE, LIMITS)
    assert seen.good
    assert "as good as idle" in seen.text


@pytest.mark.parametrize("test", STEADY)
def test_what_cannot_be_seen_does_not_apply(test: str) -> None:
    nothing = outcome(resources=[], transfers=[(t, None, None) for t in TIMES])
    nothing["system log"] = None
    seen = observed(test, nothing)
    assert (seen.result, seen.skip_reason) == (Result.SKIP, SkipReason.NOT_APPLICABLE)


@pytest.mark.parametrize("test", ["cpu_spread", "memory_spread", "disk_spread", "memory_leak"])
def test_too_few_samples_are_an_error_and_no_pass(test: str) -> None:
    few = outcome()
    few = {**few, "resources": few["resources"][:3], "transfers": few["transfers"][:3]}
    seen = observed(test, few)
    assert (seen.result, seen.cause) == (Result.ERROR, Cause.INFRA)


def test_an_emulated_target_leaks_as_any_other_once_its_emulator_has_translated_the_program() -> None:
    """Measured on an emulated ARM: a product without a leak grew by 2 MiB in 30 s, evenly, by its emulator."""
    leak = outcome(resources=[(t, 1.0, 100 + 0.5 * t) for t in TIMES])
    assert observed("memory_spread", leak, emulated=True).result is Result.RECORDED
    seen = observed("memory_leak", leak, emulated=True)
    assert (seen.result, seen.skip_reason) == (Result.RECORDED, None)
    assert [one.name for one in seen.measurements] == ["memory slope", "memory slope low", "memory slope high"]
    times = [10.0 * number for number in range(80)]
    long = outcome(resources=[(t, 1.0, 100 + 0.5 * t) for t in times])
    profile = PROFILE.model_copy(update={"hold": 700, "window": 60})
    seen = observed("memory_leak", long, emulated=True, profile=profile)
    assert (seen.result, seen.skip_reason) == (Result.FAIL, None)
    assert [one.name for one in seen.measurements] == ["memory slope", "memory slope low", "memory slope high"]


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("kernel: EXT4-fs error (device vda1)", True),
        ("systemd[1]: app.service: Failed with result 'exit-code'.", True),
        ("kernel: Out of memory: Killed process 7", True),
        ("app: WARNING: slow", True),
        ("systemd[1]: Started session 3.", False),
        ("app: merry interrupts, terrace, failover-less", False),
    ],
)
def test_lines_that_tell_of_trouble(line: str, trouble: bool) -> None:
    assert bool(TROUBLE.search(line)) is trouble


def test_only_what_is_new_in_the_log_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "messages"
    monkeypatch.setattr(system_log, "_MARK", system_log._MARK.replace(" ".join(system_log.PLACES), str(log)))
    log.write_text("old error\n")
    watched = SystemLog(LocalMachine())
    assert watched.trouble() == []
    with log.open("a") as file:
        file.write("all is well\nnew error\n")
    assert watched.trouble() == ["new error"]
    log.write_text("error\n")  # it was begun anew
    assert watched.trouble() == ["error"]
    log.write_text("well\n")
    assert "was begun anew" in str(watched.trouble())
    log.rename(tmp_path / "messages.1")  # rotated, and longer than before
    log.write_text("all is well\n" * 9)
    assert "was begun anew" in str(watched.trouble())
    log.write_text("well\n" * 3_000_000)
    assert "more came into the system log" in str(watched.trouble())
    log.unlink()
    assert "can no longer be read" in str(watched.trouble())


def test_a_machine_counts_disk_and_network() -> None:
    used = posix.resources(LocalMachine())
    assert used is not None
    assert used.network is None or used.network >= 0
    net = ["  lo: 1048576 0 0 0 0 0 0 0 1048576 0", "eth0: 1048576 0 0 0 0 0 0 0 2097152 0"]
    assert posix.traffic(["Inter-| Receive", " face |bytes", *net]) == 3.0
    assert posix.traffic(["lo: 1 0 0 0 0 0 0 0 1 0"]) is None
    disks = ["254 0 vda 9 9 2048 9 9 9 4096 9", "254 1 vda1 9 9 2048 9 9 9 4096 9", "7 0 loop0 9 9 2048 9 9 9 4096 9"]
    assert posix._moved(["disks /sys/block/loop0 /sys/block/vda", *net, *disks]) == (3.0, 3.0)
    assert posix._moved(["disks /sys/block/*", *net]) == (None, 3.0)
    assert posix._moved([]) == (None, None)


def test_a_list_of_this_system_is_whole_and_compares() -> None:
    before = SystemState.of(LocalMachine().run(LIST).out)
    assert before is not None
    assert "root" in before.things["user"]
    assert SystemState.of("user\troot\n") is None
    now = SystemState(
        {**before.things, "user": {**before.things["user"], "ghost": ""}, "cron": {"/etc/cron.d/x": "1 2"}}
    )
    assert now.added(before, "user") == ["ghost"]
    assert before.gone(now, "user") == ["ghost"]
    changed = SystemState({"cron": {"/etc/cron.d/x": "3 4"}})
    assert changed.added(now, "cron") == ["/etc/cron.d/x"]


def test_names_of_additions() -> None:
    declared = Additions(services=("app*.service",), cron=("/etc/cron.d/app",))
    assert declared.undeclared("services", ["/etc/systemd/system/app-1.service", "/etc/init.d/other"]) == [
        "/etc/init.d/other"
    ]
    assert declared.missing("services", []) == ["app*.service"]
    assert declared.undeclared("cron", ["/etc/cron.d/app", "/etc/cron.daily/app"]) == ["/etc/cron.daily/app"]
    assert declared.missing("cron", ["/etc/cron.d/app"]) == []


def test_a_picture_of_a_terminal_is_whole_and_loads_nothing() -> None:
    output = "\x1b[31m产品 <b>&\x00\x07 ]]> \x1b]0;title\x07\u202e" + "\n".join(map(str, range(500)))
    picture = terminal_picture("os", "app --version", output, 3).decode()
    ElementTree.fromstring(picture)
    assert "产品" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    assert "exit" in picture
    assert "<b>" not in picture
