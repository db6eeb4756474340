"""Life cycle of a deployed product, after the openEuler ISV cases: files, libraries, start, stop, recovery, removal."""

from __future__ import annotations

import re

import pytest

from harness.runners.elf import exported_symbols

KILLS = 10


def test_installed_files(target, installation, host, keep):
    """Every package is installed, and no file differs from what its package says."""
    if not target.installed:
        files = [a.to for a in target.application.artifacts if a.to]
        missing = [path for path in files if not host.file(path).exists]
        assert files, "the application declares neither packages nor files"
        assert not missing, f"missing files: {', '.join(missing)}"
        return
    state = installation.packages()
    keep("packages.txt", state.listed)
    assert state.listed, "the package manager knows none of the product's packages"
    assert not state.incomplete, f"not completely installed: {state.incomplete}"
    # A configuration file that the deployment wrote differs by intent.
    written = {t.path for t in target.application.templates}
    changed = [line for line, path in state.changed if path not in written]
    assert not changed, "files differ from their packages:\n" + "\n".join(changed)


def test_dependencies_resolve(installation, keep):
    """``ldd -r`` finds every library and symbol of every ELF file of the product."""
    report = installation.linked()
    keep("ldd.txt", report)
    missing, undefined = [], {}
    current = ""
    for line in report.splitlines():
        if line.startswith("== "):
            current = line[3:]
        elif "not found" in line:
            missing.append(f"{current}: {line.strip()}")
        elif match := re.match(r"undefined symbol:? (\S+)", line.strip()):
            undefined.setdefault(current, set()).add(match[1].split("@")[0].rstrip(","))
    assert "== " in report, "no ELF file of the product was found"
    for pattern, program in installation.plugins():
        # What a plugin takes from the program that loads it is undefined on its own, and no fault.
        offered = exported_symbols(installation.machine.get(program))
        for path in list(undefined):
            if path in pattern:
                undefined[path] -= offered
    undefined = {path: symbols for path, symbols in undefined.items() if symbols}
    assert not missing, "libraries not found:\n" + "\n".join(missing)
    assert not undefined, f"undefined symbols: { {path: sorted(s)[:10] for path, s in undefined.items()} }"


def test_start_and_ready(application, measure):
    """From a stop to a good answer within the declared time."""
    application.stop()
    application.start()
    measure("time to ready", application.wait_ready(), "s")


def test_restart(application, measure):
    """A restart leads to a new process that serves."""
    before = application.pid()
    measure("time to ready after restart", application.restart(), "s")
    after = application.pid()
    assert after != before, f"the process is still the one from before the restart ({before})"


def test_stop(application, installation, measure):
    """After the stop no process is left and no port of the product listens."""
    seconds, code = application.stop()
    measure("time to stop", seconds, "s")
    left, ports = installation.remains()
    assert not left, f"processes left after the stop: {left}"
    assert not ports, f"ports still listening after the stop: {ports}"
    assert code in (0, 143, 130, 131), f"stopped with status {code}, which is not a clean end"


def test_recovers_from_kill(application, measure):
    """Ten times SIGKILL, each followed by a start that gets ready."""
    slowest = 0.0
    for _ in range(KILLS):
        application.kill()
        application.start()
        slowest = max(slowest, application.wait_ready())
    measure("recoveries", KILLS, "1")
    measure("slowest recovery", slowest, "s")


def test_uninstall(target, application, installation, keep, measure):
    """Nothing runs, nothing listens, no program file stays; data that stays is listed.

    Containers have no service manager that a maintainer script could ask, so the product is stopped first.
    """
    if not target.application.uninstall:
        pytest.skip("not-applicable: the application declares no uninstall")
    before = installation.files()
    application.stop()
    report = installation.uninstall()
    keep("uninstall.txt", report)
    left, ports = installation.remains()
    assert not left, f"processes left after removal: {left}"
    assert not ports, f"ports still listening after removal: {ports}"
    leftovers = installation.existing(before)
    programs = [path for path in leftovers if re.match(r"/(usr/)?(s?bin|lib\w*|libexec)/|/opt/", path)]
    keep("leftovers.txt", "\n".join(leftovers) or "none")
    measure("leftover files", len(leftovers), "1")
    assert not programs, f"program files left after removal: {programs}"
