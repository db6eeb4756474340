"""The status list of a register: certificates and keys that no longer hold, as JSON and as lines."""

from __future__ import annotations

from dataclasses import dataclass

from harness.signing.lines import NOTHING, plain
from harness.system.canonical import canonical, read_json

STATUS_TYPE = "application/vnd.xinchuang.status+json"
STATUS_LINES_TYPE = "application/vnd.xinchuang.status+text"
STATUS = "https://xinchuang-harness/status/v1"
HEAD = "xinchuang-status 1"


@dataclass(frozen=True, kw_only=True)
class StatusList:
    """``entries``: ``number``, ``status``, ``reason``, ``by``, ``time`` of certificates; ``keys``: ``keyid``,
    ``status``, ``time`` (from which on it does not hold), ``reason``. Times as ``harness.signing.lines.TIME``."""

    sequence: int = 0
    this_update: str = ""
    next_update: str = ""
    entries: tuple[dict[str, str], ...] = ()
    keys: tuple[dict[str, str], ...] = ()

    def json(self) -> bytes:
        """The list as canonical JSON."""
        return canonical(
            {
                "_type": STATUS,
                "sequence": self.sequence,
                "thisUpdate": self.this_update,
                "nextUpdate": self.next_update,
                "entries": self.entries,
                "keys": self.keys,
            }
        )

    def lines(self) -> bytes:
        """The same as lines, for ``verify.sh``."""
        lines = [HEAD, f"sequence {self.sequence}", f"this {self.this_update}", f"next {self.next_update}"]
        lines += [
            f"certificate {e['status']} {e['time']} {e['number']} {e['by'] or NOTHING} {plain(e['reason'])}"
            for e in self.entries
        ]
        lines += [f"key {e['status']} {e['time']} {e['keyid']} {plain(e['reason'])}" for e in self.keys]
        return "".join(f"{line}\n" for line in (*lines, "end")).encode()

    @classmethod
    def read(cls, payload: bytes) -> StatusList:
        """Read what ``json`` wrote.

        Raises:
            ValueError, KeyError, TypeError: it has another form.
        """
        said = read_json(payload)
        if not isinstance(said, dict) or said.get("_type") != STATUS:
            raise ValueError("it is no status list")
        return cls(
            sequence=int(said["sequence"]),
            this_update=str(said["thisUpdate"]),
            next_update=str(said["nextUpdate"]),
            entries=tuple(said["entries"]),
            keys=tuple(said.get("keys", ())),
        )
