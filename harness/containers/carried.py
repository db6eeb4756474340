"""Programs in a container's files that are built for another architecture than its target's, run or not."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from harness.attest.programs import read_header
from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors

#: The most programs that are named.
MOST = 50


class PieceStream(io.RawIOBase):
    """Pieces of bytes as a file that is read once, from the beginning to the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As ``io.RawIOBase``: the number of bytes that were read, 0 at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def carried_programs(engine: Engine, container: str, architecture: str) -> list[str]:
    """Paths and architectures of executable ELF files in a container that a target of ``architecture`` does not run.

    All its files are read once, as the engine exports them.

    Raises:
        InfrastructureError: the engine refuses.
    """
    programs: list[str] = []
    with engine_errors("reading the files of a container"):
        pieces = engine.client.api.export(container, chunk_size=1 << 20)
        stream = io.BufferedReader(PieceStream(iter(pieces)), 1 << 20)
        with stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if not member.isfile() or not member.mode & 0o111 or member.size < 52 or len(programs) >= MOST:
                    continue
                file = tar.extractfile(member)
                program = read_header(file.read(64)) if file is not None else None
                if program is not None and not program.belongs(architecture):
                    programs.append(f"/{member.name} ({program.machine})")
    return programs
