"""What the running product lays open on its machine: ports, permissions, secrets, root's rights."""

from __future__ import annotations

import pytest

from harness.clients.sweep import beside, sweep, unrefused
from harness.control.exposure import Exposure
from harness.control.installation import MAX_MADE, is_program

#: For which a port may be silent: the machine is beside this machine, and its kernel answers.
SILENCE_SECONDS = 2.0


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


def test_ports_from_another_machine(target, application, exposure, measure, note):
    declared = set(target.application.ports.values())
    if not declared:
        pytest.skip("not-applicable: the product declares no port / 产品未声明端口")
    address = beside(application)
    if not address:
        pytest.skip(
            "capability: from outside this machine comes to declared ports alone, or other programs listen on that "
            "machine too / 从外部只能到达已声明的端口，或该机器上另有其他程序监听"
        )
    seen = sweep(address, seconds=SILENCE_SECONDS)
    measure("TCP ports tried", seen.tried, "1")
    measure("TCP ports that take a connection", len(seen.taken), "1")
    servers = {
        server.access.port
        for server in application.servers.values()
        if server.machine.reference == application.machine.reference
    }
    udp_ports = exposure.bound_udp_ports()
    udp = unrefused(address, udp_ports, seconds=SILENCE_SECONDS)
    measure("UDP ports tried", len(udp_ports), "1")
    more = [f"TCP {port}" for port in seen.taken if port not in declared | servers]
    more += [f"UDP {port}" for port in udp or () if port not in declared | servers]
    assert not more, f"another machine reaches ports that the product does not declare (ports): {', '.join(more)}"
    if not seen.whole:
        pytest.skip(
            f"capability: could not check wholly: {seen.silent} of {seen.tried} ports that were tried gave no answer / "
            "无法完全检查：部分端口无应答"
        )
    if udp is None:
        pytest.skip(
            "capability: could not check wholly: UDP ports that are closed are silent too / "
            "无法完全检查：关闭的 UDP 端口同样无应答"
        )
    reached = [*(f"TCP {port}" for port in seen.taken), *(f"UDP {port}" for port in udp)]
    closed = ", ".join(str(port) for port in sorted(declared - {*seen.taken, *udp}))
    note(
        f"reached from another machine / 其他机器可达的端口: {', '.join(reached) or 'none / 无'}"
        + f"; not reached / 不可达: {closed}" * bool(closed)
    )


def left_out(installation):
    """What of the product's files was not looked at, for a note; empty where that is nothing."""
    made = installation.made_files()
    if made is None:
        return "; files that came into being while it ran were not looked at / 未检查运行期间产生的文件"
    if max(sum(map(is_program, made)), len(made) - sum(map(is_program, made))) >= MAX_MADE:
        return (
            f"; of the files that came into being while it ran only {len(made)} were looked at / "
            "运行期间产生的文件仅检查了一部分"
        )
    return ""


def test_permissions_of_files(exposure, installation, measure, note):
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
        + left_out(installation)
    )


def test_secrets_are_not_laid_open(exposure, installation, note):
    lines = exposure.secrets_in_processes()
    assert not lines, f"every user of the machine reads a secret in its list of processes: {'; '.join(lines)}"
    files = exposure.secrets_in_files()
    assert not files, f"everybody may read files with a secret in them: {', '.join(files)}"
    note(
        "no secret of the cell stands in a command line or in a file that everybody may read / 未泄露机密"
        + left_out(installation)
    )


def test_runs_without_the_rights_of_root(target, exposure, note):
    processes = exposure.processes()
    low = sorted(port for port in target.application.ports.values() if port < 1024)
    root = [words for user, words in processes.values() if user == 0]
    if root and low:
        note(f"runs as root, and declares ports below 1024: {low} / 以 root 运行，且声明了 1024 以下的端口")
        return
    assert not root, f"runs as root without need: {'; '.join(line[:120] for line in root[:5])}"
    note(f"{len(processes)} processes, none of root / {len(processes)} 个进程，均非 root")
