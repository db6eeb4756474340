"""What a command in a container prints, as the engine sends it: frames of two streams over one connection.

The Docker SDK reads the answer's head through a buffer and the frames behind it past that buffer. What a quick command
printed while this process was busy came together with the head, lay in the buffer, and was lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

#: Second of the streams that a frame may be of (Docker Engine API, attach to a container, stream format).
STDERR = 2
_HEAD = struct.Struct(">BxxxL")
PIECE = 1 << 16


def frames_of(api: Any, response: Any) -> Iterator[tuple[int, bytes]]:
    """Pairs of stream and piece until the command has ended; ``response``: the answer to the start of an exec, of which
    nothing was read. A frame that is cut off gives what came of it."""
    file = response.raw._fp.fp
    api._disable_socket_timeout(getattr(file, "raw", file))  # a command may be silent for long
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        kind, left = _HEAD.unpack(head)
        while left:
            piece = file.read(min(left, PIECE))
            if not piece:
                return
            yield kind, piece
            left -= len(piece)
