"""What the running product lays open on its machine: ports, permissions, secrets, root's rights."""

from __future__ import annotations

import pytest

from harness.control.exposure import Exposure


@pytest.fixture
def exposure(application, installation):
    return Exposure(application, installation)


def test_open_ports_are_declared(target, exposure, note):
    sockets = exposure.open_sockets()
    if sockets is None:
        pytest.skip("capability: it is not known which sockets of the machine are the product's own")
    tcp, udp = sockets
    declared = set(target.application.ports.values())
    more = [f"TCP {each}" for each in tcp if each.port not in declared]
    more += [f"UDP {each}" for each in udp if each.port not in declared]
    assert not more, f"the product listens where it does not declare it (ports): {', '.join(more)}"
    shown = ", ".join([*(f"TCP {each}" for each in tcp), *(f"UDP {each}" for each in udp)]) or "none"
    note(f"open and declared / 开放且已声明: {shown}")


def test_permissions_of_files(exposure, measure, note):
    files = exposure.files()
    if not files:
        pytest.skip("not-applicable: the product has no file on this machine")
    measure("files", len(files), "1")
    writable, rights = exposure.loose_files()
    wrong = [f"everybody may write to {each}" for each in writable]
    wrong += [f"{each} runs with the rights of its owner or group" for each in rights]
    assert not wrong, "; ".join(wrong[:20])
    note(
        f"none of {len(files)} files is writable for everybody, setuid or setgid / 无人人可写、setuid 或 setgid 的文件"
    )


def test_secrets_are_not_laid_open(exposure, note):
    lines = exposure.secrets_in_processes()
    assert not lines, f"every user of the machine reads a secret in its list of processes: {'; '.join(lines)}"
    files = exposure.secrets_in_files()
    assert not files, f"everybody may read files with a secret in them: {', '.join(files)}"
    note("no secret of the cell stands in a command line or in a file that everybody may read / 未泄露机密")


def test_runs_without_the_rights_of_root(target, exposure, note):
    processes = exposure.processes()
    low = sorted(port for port in target.application.ports.values() if port < 1024)
    root = [words for user, words in processes.values() if user == 0]
    if root and low:
        note(f"runs as root, and declares ports below 1024: {low} / 以 root 运行，且声明了 1024 以下的端口")
        return
    assert not root, f"runs as root without need: {'; '.join(line[:120] for line in root[:5])}"
    note(f"{len(processes)} processes, none of root / {len(processes)} 个进程，均非 root")
