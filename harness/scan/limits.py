"""How much an input may unfold to. What goes beyond is not read, and said to be unread: never taken for good."""

from __future__ import annotations

from dataclasses import dataclass

DEPTH = 8  #: containers within containers
FILES = 2_000_000
UNFOLDED = 4 << 30  #: bytes that any input may unfold to, and
RATIO = 100  #: so many times its own size beyond that
MEMBER_RATIO = 500  #: one member that unfolds to more than this, and
MEMBER = 128 << 20  #: to more than so many bytes, is a bomb
CONTAINER = 2 << 30  #: largest container inside another; it is laid down on disk while it is read
IN_MEMORY = 16 << 20  #: files up to this size are kept in memory while they are looked at
TEXT = 16 << 20  #: texts are read up to here
CHUNK = 1 << 20  #: bytes that are read of a stream at a time
NAME = 4096  #: bytes of the name of a member, as of a path (PATH_MAX)
RPM_HEADER = 64 << 20  #: bytes of the header of an RPM package; the kernel's has 2 MiB
PADDING = 512  #: bytes behind the end of an archive that are padding or a mark
DIRECTORY = 32 << 20  #: bytes of the list of members of a zip archive: some 300,000 members
STEPS, STEPS_PER_BYTE = 1_000_000, 0.25  #: steps of work that a file may ask for, and more by its size
MEMORY = 1 << 30  #: bytes of memory of the process that reads
NOTES = 1000  #: places of an input that are named one by one: what could not be read, names and links that lead out
FACTS = 64 << 20  #: bytes of what is kept of an input
LOOK = 0.2  #: seconds of CPU time between two looks at the clock
MIB = 1 << 20


def seconds_of_file(size: int) -> float:
    """Seconds of CPU time that a file may take, by its size when it is unfolded: a MiB of SQL takes 10 s."""
    return 6 + 25 * size / MIB


def seconds_of_input(size: int) -> float:
    """Seconds of CPU time that an input may take, by its size on disk: packed SQL unfolds to several times that."""
    return 7 + 100 * size / MIB


class Unreadable(Exception):
    """A file or container that cannot be looked at; the message says why."""


class OutOfTime(Unreadable):
    """The whole input takes too long."""


@dataclass
class Budget:
    """The bytes and the files that an input may still unfold to."""

    left: int
    files: int = FILES

    @classmethod
    def for_size(cls, size: int) -> Budget:
        """The budget of an input of ``size`` bytes."""
        return cls(UNFOLDED + RATIO * size)

    def spend(self, count: int) -> None:
        """Take ``count`` bytes from the budget.

        Raises:
            Unreadable: the input unfolds to more bytes than its size allows.
        """
        self.left -= count
        if self.left < 0:
            raise Unreadable("it unfolds to far more than its size: an archive bomb; the rest was not read")

    def file(self) -> None:
        """Take a file from the budget.

        Raises:
            Unreadable: the input holds too many files.
        """
        self.files -= 1
        if self.files < 0:
            raise Unreadable(f"it holds more than {FILES} files; the rest was not read")


@dataclass
class Work:
    """The steps that may be gone over a file: counts that stand in it multiply, its size does not."""

    left: float

    @classmethod
    def for_size(cls, size: int) -> Work:
        """The work of a file of ``size`` bytes."""
        return cls(STEPS + STEPS_PER_BYTE * size)

    def spend(self, steps: float) -> None:
        """Take ``steps`` from what is left.

        Raises:
            Unreadable: the file asks for more work than its size allows.
        """
        self.left -= steps
        if self.left < 0:
            raise Unreadable("it asks for far more work than its size allows: the rest was not read")


def check_ratio(size: int, packed: int) -> None:
    """Raises:
    Unreadable: ``packed`` bytes unfold to far too many. 0: it is not known how many they were.
    """
    if packed and size > MEMBER and size > MEMBER_RATIO * packed:
        raise Unreadable(f"{packed} bytes unfold to more than {size}: an archive bomb")


def check_member(size: int, packed: int) -> None:
    """Raises:
    Unreadable: as ``check_ratio``, or it is too large to be laid down.
    """
    check_ratio(size, packed)
    if size > CONTAINER:
        raise Unreadable(f"it is larger than {CONTAINER >> 30} GiB inside a container")
