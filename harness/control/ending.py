"""Explains an end of the product, in English and Chinese."""

from __future__ import annotations

import contextlib
import datetime
import re

from harness.attest.emulation import Sign, emulator_trouble
from harness.control.ends import End, signal_name
from harness.control.fault import ProductFault
from harness.errors import HarnessError, InfrastructureError
from harness.model.context import CellContext
from harness.model.definitions import Limits
from harness.model.machine import Machine

_MEMORY = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null"

#: What shells and QEMU print of a program that ended by SIGILL; a product may write the same words elsewhere in a line.
SIGILL = re.compile(
    r"^Illegal instruction\b|: line \d+: +\d+ Illegal instruction\b|^qemu: uncaught target signal 4\b", re.MULTILINE
)
#: What shells print of what is no program for this machine. "cannot execute" alone is what databases say of statements.
_NO_PROGRAM = re.compile(r": Exec format error$|: cannot execute binary file\b|: cannot execute: \w", re.MULTILINE)


def ended(
    context: CellContext, machine: Machine, code: int, log: str, *, memory: bool = False, left: list[str] | None = None
) -> ProductFault:
    """What the exit status of a process of the product on ``machine`` means; the rest as for ``explained``.

    Raises:
        InfrastructureError: the emulator says that it failed itself, or the machine does not answer.
    """
    label = f"{context.axes.get('cpu', '')} ({context.qemu_cpu or context.architecture})"
    memory = code == 137 and (memory or out_of_memory(machine))
    limit = context.memory_limit
    trouble = emulator_trouble(log) if context.emulated else None
    if trouble is not None and trouble.sign is Sign.EMULATOR:
        raise InfrastructureError(
            str(trouble), advice="try it in a virtual machine (prefer: [vm]) or on a host of that kind"
        )
    return explained(code, log, cpu=label, memory_limit=limit, memory=memory, left=left or [])


def out_of_memory(machine: Machine) -> bool:
    """Whether the kernel killed something in the product's container for memory."""
    text = machine.run(_MEMORY, timeout=30).out
    return any(int(count) > 0 for count in re.findall(r"^oom_kill (\d+)", text, re.MULTILINE))


def short_of_memory(machine: Machine, name: str, limits: Limits) -> str:
    """What a message about a server that is away goes on with, where the kernel ended programs of its machine for
    lack of memory; empty where it did not, or the machine does not answer."""
    with contextlib.suppress(HarnessError):
        if out_of_memory(machine):
            return (
                f"; the kernel ended programs of its machine for lack of memory (limits.memory of {name} is "
                f"{limits.memory}; give it more) / 内存不足，内核终止了其机器上的进程，请调大 {name} 的 limits.memory"
            )
    return ""


def explained(code: int, log: str, *, cpu: str, memory_limit: str, memory: bool, left: list[str]) -> ProductFault:
    """Why the product does not run any more, as a failure of the product.

    ``code`` is its exit status, 128 + n for signal n; ``log`` the tail of its output; ``cpu`` names the target's class
    and model; ``memory``: the kernel ended something for lack of memory; ``left`` are command lines of what it started
    and still runs.
    """
    if code == 132 or SIGILL.search(log):
        return ProductFault(
            f"it died with SIGILL (illegal instruction): it uses an instruction that {cpu} does not have; "
            "build it for this CPU class",
            f"进程因 SIGILL（非法指令）终止：使用了 {cpu} 不具备的指令；请针对该类 CPU 编译",
            log,
        )
    if code == 126 or _NO_PROGRAM.search(log):
        return ProductFault(
            "it cannot be executed: wrong architecture or no executable file",
            "无法执行：架构不符或不是可执行文件",
            log,
        )
    if code == 127:
        return ProductFault(
            "it cannot be executed: program or its ELF interpreter not found",
            "无法执行：找不到程序或其 ELF 解释器",
            log,
        )
    if code == 137 and memory:
        return ProductFault(
            f"it was killed: it took more memory than its limit of {memory_limit}",
            f"进程被终止：内存超过限额 {memory_limit}",
            log,
        )
    if code == 0 and left:
        return ProductFault(
            f"its command ended with status 0 and left {len(left)} process(es) in the background ({left[0][:120]}): "
            "`start` must stay in the foreground; use the program's option for that (-f, --foreground, daemon off), "
            "or declare its systemd unit as `service`",
            f"启动命令以状态码 0 结束，并在后台留下 {len(left)} 个进程（{left[0][:120]}）：`start` 必须在前台运行；"
            "请使用程序的前台选项，或以 `service` 声明其 systemd 单元",
            log,
        )
    if code > 128:
        number = code - 128
        emulated = emulator_trouble(log) is not None
        return ProductFault(
            f"it died with signal {number} ({signal_name(number)})"
            + ("; seen under emulation only: see whether it does so in a virtual machine or on hardware" * emulated),
            f"进程因信号 {number}（{signal_name(number)}）终止"
            + "；仅在模拟环境下出现，请在虚拟机或真机上确认" * emulated,
            log,
        )
    return ProductFault(f"it exited at once with status {code}", f"进程立即退出，状态码 {code}", log)


def unasked(ends: list[End], words: list[tuple[str, str]], logs: list[str]) -> ProductFault:
    """The failure for ends that nobody asked for; ``words`` and ``logs`` hold one item for each end, in order."""
    times = "once" if len(ends) == 1 else f"{len(ends)} times"
    en = "; ".join(f"{_when(end)}{text}{_again(end)}" for end, (text, _) in zip(ends[:5], words, strict=False))
    zh = "；".join(f"{_when(end)}{text}" for end, (_, text) in zip(ends[:5], words, strict=False))
    more = "; …" if len(ends) > 5 else ""
    return ProductFault(
        f"it ended {times} although nobody had asked for it: {en}{more}",
        f"在无人要求的情况下退出 {len(ends)} 次：{zh}",
        "\n".join(logs),
    )


def _when(end: End) -> str:
    return f"[{_clock(end.at)}] " if end.at else ""


def _again(end: End) -> str:
    return ", and was started again by what manages it on the machine" if end.restarted else ""


def _clock(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%H:%M:%S UTC")
