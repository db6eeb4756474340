"""Merkle trees of RFC 6962 (2.1), their proofs, and checkpoints (C2SP tlog-checkpoint) signed as notes.

Proofs are checked by the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.signing.dsse import decode

#: The first byte of the hashed text distinguishes a leaf from a node.
_LEAF, _NODE = b"\0", b"\1"


def leaf_hash(data: bytes) -> bytes:
    """The hash of an entry (RFC 6962, 2.1)."""
    return hashlib.sha256(_LEAF + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over these entries (32 bytes); the hash of the empty string where there is no entry."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:  # an odd one out rises as it is, which gives the same tree as the recursion of the RFC
        pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that the entry at ``index`` is in the tree over ``leaves``."""
    if len(leaves) <= 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion(leaves[:k], index), root(leaves[k:])]
    return [*inclusion(leaves[k:], index - k), root(leaves[:k])]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], top: bytes) -> bool:
    """Whether ``proof`` shows the entry ``leaf`` at ``index`` of the tree of ``size`` entries with root ``top``."""
    if not 0 <= index < size:
        return False
    number, last, value = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            value = _node(sibling, value)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            value = _node(value, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and value == top


def consistency(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """Proof that the tree over the ``first`` entries is the beginning of the tree over all."""
    return _consistency(leaves, first, whole=True) if 0 < first < len(leaves) else []


def _consistency(leaves: Sequence[bytes], first: int, *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [root(leaves)]
    k = _split(len(leaves))
    if first <= k:
        return [*_consistency(leaves[:k], first, whole=whole), root(leaves[k:])]
    return [*_consistency(leaves[k:], first - k, whole=False), root(leaves[:k])]


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the tree of ``second`` entries continues the tree of ``first`` entries."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = _node(step, old), _node(step, new)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            new = _node(new, step)
        number, last = number >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


class NoCheckpoint(Exception):
    """The text is no checkpoint; the message says what is wrong."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a log as the log states it: its name, the number of its entries, the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The three lines that are signed: origin, size, root in Base64."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def note(self, name: str, public: bytes, signature: bytes) -> str:
        """The checkpoint as a note signed by an Ed25519 key whose 32 public bytes are ``public``."""
        line = base64.b64encode(_key_hash(name, public) + signature).decode()
        return f"{self.body}\n— {name} {line}\n"


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_note(text: str) -> tuple[Checkpoint, list[tuple[str, bytes, bytes]]]:
    """The checkpoint of a note, and its signatures (name, hash of the key, signature), which are not checked yet.

    Raises:
        NoCheckpoint: the text is no note with a checkpoint.
    """
    body, separator, tail = text.partition("\n\n")
    lines = body.split("\n")
    try:
        if not separator or len(lines) != 3 or not lines[0] or str(int(lines[1])) != lines[1]:
            raise NoCheckpoint("a checkpoint has three lines, an empty one, and signatures")
        top = decode(lines[2])
        signatures = []
        for line in tail.removesuffix("\n").split("\n"):
            dash, name, value = line.split(" ")
            data = decode(value)
            if dash != "—" or len(data) != 68:
                raise NoCheckpoint("a signature line is not in shape")
            signatures.append((name, data[:4], data[4:]))
    except ValueError as error:
        raise NoCheckpoint(f"no checkpoint: {error}") from error
    if len(top) != 32 or int(lines[1]) < 0:
        raise NoCheckpoint("the root or the size is not in shape")
    return Checkpoint(lines[0], int(lines[1]), top), signatures


def signed_by(name: str, digest: bytes, public: bytes) -> bool:
    """Whether a signature line names this key (its name and hash); the signature itself is not checked."""
    return digest == _key_hash(name, public)


PROOF_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, kw_only=True)
class InclusionProof:
    """An entry of a log, the way from it to the root of a checkpoint, and that checkpoint as a signed note."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """The proof in the lines of C2SP tlog-proof; ``extra`` is the entry itself."""
        encoded = [base64.b64encode(data).decode() for data in (self.entry, *self.path)]
        lines = [PROOF_HEAD, f"extra {encoded[0]}", f"index {self.index}", *encoded[1:], "", self.note]
        return "\n".join(lines)

    @classmethod
    def read(cls, text: str) -> InclusionProof:
        """Read a proof. Only the form that ``text`` writes is accepted, so that no changed byte goes unnoticed.

        Raises:
            NoCheckpoint: the text is no proof in this form.
        """
        body, _, note = text.partition("\n\n")
        try:
            _, extra, index, *path = body.split("\n")
            proof = cls(
                entry=decode(extra.removeprefix("extra ")),
                index=int(index.removeprefix("index ")),
                path=tuple(decode(node) for node in path),
                note=note,
            )
        except ValueError as error:
            raise NoCheckpoint(f"no proof of inclusion: {error}") from error
        if proof.text() != text or any(len(node) != 32 for node in proof.path):
            raise NoCheckpoint("no proof of inclusion as it was written: something was added or changed in its form")
        return proof
