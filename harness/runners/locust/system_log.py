"""The system log of a machine: what came into it meanwhile that tells of trouble."""

from __future__ import annotations

import re

from harness.model.machine import Machine
from harness.system.bounded import CUT

#: Where systems keep it; the first that is there.
PLACES = ("/var/log/messages", "/var/log/syslog", "/var/log/kern.log")
#: As openEuler's list has it: warning, error, fail; with what the kernel says of a process that it ended.
TROUBLE = re.compile(
    r"\b(warn(ing)?|err(or)?s?|fail(s|ed|ure|ures|ing)?|panic|oops|segfault|out of memory|oom-kill\w*)\b", re.IGNORECASE
)
_ANEW = "-- begun anew --"
_MARK = (
    f"for f in {' '.join(PLACES)}; do "
    "[ -f $f ] && printf 'file %s %s %s\\n' $f $(wc -c <$f) $(stat -Lc %i $f) && exit 0; done; "
    "journalctl -n 0 --show-cursor -q 2>/dev/null | sed -n 's/^-- cursor: /journal /p'"
)


class SystemLog:
    """What comes into the system log of ``machine`` from now on."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        kind, _, place = machine.run(_MARK, timeout=60).out.strip().partition(" ")
        self._kind, self._place = kind, place.split()

    def trouble(self) -> list[str] | str | None:
        """New lines that tell of trouble; None where the machine keeps no system log; why what is new could not all be
        read, in words.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        if self._kind == "file" and len(self._place) == 3:
            path, size, inode = self._place
            # All of a file that was begun anew meanwhile is new; what came into the former file is not read.
            command = (
                f"n=$(wc -c <{path}) || exit; s={size}; "
                f"[ $n -ge $s ] && [ \"$(stat -Lc %i {path})\" = {inode} ] || {{ s=0; echo '{_ANEW}'; }}; "
                f"tail -c +$((s + 1)) {path}"
            )
        elif self._kind == "journal" and len(self._place) == 1:
            command = f"journalctl -q --no-pager -o short --after-cursor='{self._place[0]}'"
        else:
            return None
        answer = self.machine.run(command, timeout=60)
        if not answer.ok:
            said = answer.err.strip()[-200:] or f"exit {answer.rc}"
            return f"the system log can no longer be read / 系统日志已无法读取: {said}"
        lines = [line for line in answer.out.splitlines() if TROUBLE.search(line)]
        if not lines and CUT.search(answer.out):
            return (
                "more came into the system log than is read, and what was read tells of no trouble / "
                "系统日志新增内容过多，未能全部读取"
            )
        if not lines and answer.out.startswith(_ANEW):
            return (
                "the system log was begun anew meanwhile, so what came into the former file was not read / "
                "系统日志期间已轮转，旧文件的内容未读取"
            )
        return lines
