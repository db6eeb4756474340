"""Ends of a product that the harness did not ask for, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class End:
    """One end that nobody asked for.

    ``status`` is the exit status, 128 + n for signal n, None where nobody saw how it ended. ``memory``: the kernel
    ended something for lack of memory meanwhile. ``at`` is in seconds since 1970 by the machine's clock, 0 where it is
    not known. ``restarted``: something on the machine started the product again by itself. ``service`` is empty where
    the product is one process.
    """

    start: str
    service: str = ""
    status: int | None
    memory: bool = False
    at: float = 0.0
    restarted: bool = False


def signal_name(number: int) -> str:
    """``SIGSEGV`` and the like; the number for one that this machine does not know."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def words(end: End, memory_limit: str) -> tuple[str, str]:
    """How it ended, in English and Chinese."""
    who, whose = (f"its service {end.service}", f"服务 {end.service}：") if end.service else ("it", "")
    if end.memory:
        return (
            f"{who} was killed: it took more memory than its limit of {memory_limit} "
            "(limits.memory of the application)",
            f"{whose}进程被终止：内存超过限额 {memory_limit}（application 的 limits.memory）",
        )
    if end.status is None:
        process = f"the process of {who}" if end.service else "its process"
        return f"{process} is gone, and nobody saw how it ended", f"{whose}进程已消失，结束方式未知"
    if end.status > 128:
        name = signal_name(end.status - 128)
        return (
            f"{who} died with signal {end.status - 128} ({name})",
            f"{whose}进程因信号 {end.status - 128}（{name}）终止",
        )
    return f"{who} exited with status {end.status}", f"{whose}进程自行退出，状态码 {end.status}"
