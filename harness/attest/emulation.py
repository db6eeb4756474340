"""QEMU's own messages on standard error when QEMU, or a program that it emulates, ends abnormally.

There are two kinds of messages, which show different things:

- ``EMULATOR``: QEMU met something that it cannot do, or broke one of its own assertions. On hardware this would not
  have happened: it is a limit of the emulated target.
- ``PROGRAM``: an emulated program got a signal that nothing caught. The program may be broken, and so may its
  translation: the message does not say which. SIGILL is left out: the declared CPU class lacks that instruction.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_OWN = re.compile(
    r"(?:qemu(?:-[a-z0-9_]+)?(?:-static)?: (?:unsupported syscall|unhandled cpu exception|unknown syscall|"
    r"could not|cannot|unable to|internal error|fatal)[^\n]*"
    r"|(?:Bail out! )?ERROR:[^\n]*(?:accel/tcg|linux-user|tcg/|target/)[^\n]*"
    r"|\*\*\nERROR:[^\n]*assertion failed[^\n]*)",
    re.IGNORECASE,
)
_SIGNAL = re.compile(r"qemu: uncaught target signal (\d+)(?: \(([^)\n]*)\))?")
#: SIGILL, and those that somebody sent: SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGALRM, SIGTERM.
_TOLD_BY_OTHERS = {1, 2, 4, 9, 13, 14, 15}


class Sign(enum.Enum):
    """Which of the two ended: the emulator or the program."""

    EMULATOR = "emulator"
    PROGRAM = "program"


@dataclass(frozen=True)
class EmulatorMessage:
    """A message of QEMU, and the kind that it belongs to."""

    sign: Sign
    words: str

    def __str__(self) -> str:
        if self.sign is Sign.EMULATOR:
            return f"the emulator failed ({self.words}): a limit of the emulated target"
        return f"a program died under the emulator ({self.words}): seen under emulation only"


def emulator_trouble(text: str) -> EmulatorMessage | None:
    """QEMU's own message in a printed text, None where there is none; a failure of the emulator has precedence."""
    own = _OWN.search(text)
    if own is not None:
        return EmulatorMessage(Sign.EMULATOR, " ".join(own[0].split())[:200])
    for match in _SIGNAL.finditer(text):
        if int(match[1]) not in _TOLD_BY_OTHERS:
            return EmulatorMessage(Sign.PROGRAM, match[0][:200])
    return None
