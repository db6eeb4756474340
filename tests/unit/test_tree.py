"""Merkle trees: the vectors of Certificate Transparency's reference, every proof of every small tree, checkpoints."""

from __future__ import annotations

import hashlib

import pytest

from harness.signing.tree import (
    Checkpoint,
    NoCheckpoint,
    consistency,
    consistent,
    includes,
    inclusion,
    leaf_hash,
    read_note,
    root,
    signed_by,
)

#: Entries and roots of the reference implementation's tests (google/certificate-transparency, merkle_tree_test).
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
#: Proofs of the same tests: entry (from 0), size, hashes.
INCLUSIONS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}


def test_the_roots_of_the_reference() -> None:
    assert root([]) == hashlib.sha256(b"").digest()
    assert [root(LEAVES[:n]).hex() for n in range(1, 9)] == ROOTS


@pytest.mark.parametrize(("index", "size"), INCLUSIONS)
def test_the_proofs_of_the_reference(index: int, size: int) -> None:
    proof = inclusion(LEAVES[:size], index)
    assert [one.hex() for one in proof] == INCLUSIONS[index, size]
    assert includes(LEAVES[index], index, size, proof, bytes.fromhex(ROOTS[size - 1]))


def test_every_inclusion_in_every_small_tree() -> None:
    leaves = [bytes([n]) for n in range(20)]
    for size in range(1, 21):
        top = root(leaves[:size])
        for index in range(size):
            proof = inclusion(leaves[:size], index)
            assert includes(leaves[index], index, size, proof, top)
            assert not includes(b"other", index, size, proof, top)
            assert not includes(leaves[index], index, size, [*proof, top], top)
            assert not includes(leaves[index], (index + 1) % size, size, proof, top) or size == 1
            assert not includes(leaves[index], index, size + 1, proof, root([*leaves[:size], b"more"]))
            for at in range(len(proof)):
                assert not includes(leaves[index], index, size, [*proof[:at], leaf_hash(b"x"), *proof[at + 1 :]], top)
    assert not includes(b"", 0, 0, [], root([]))


def test_every_consistency_of_every_small_tree() -> None:
    leaves = [bytes([n]) for n in range(20)]
    for second in range(1, 21):
        for first in range(1, second + 1):
            one, other = root(leaves[:first]), root(leaves[:second])
            proof = consistency(leaves[:second], first)
            assert consistent(first, second, one, other, proof)
            assert not consistent(first, second, leaf_hash(b"x"), other, proof)
            assert not consistent(first, second, one, leaf_hash(b"x"), proof)
            for at in range(len(proof)):
                assert not consistent(first, second, one, other, proof[:at] + proof[at + 1 :])
    assert not consistent(0, 3, root([]), root(leaves[:3]), [])
    assert not consistent(3, 2, root(leaves[:3]), root(leaves[:2]), [])


def test_a_fork_has_no_proof() -> None:
    leaves = [bytes([n]) for n in range(9)]
    forked = [*leaves[:3], b"other", *leaves[4:]]
    for first in range(4, 9):
        proof = consistency(forked, first)
        assert not consistent(first, 9, root(leaves[:first]), root(forked), proof)


def test_a_checkpoint_is_written_and_read() -> None:
    one = Checkpoint("example.org/log", 8, bytes.fromhex(ROOTS[7]))
    text = one.note("example", bytes(32), bytes(64))
    assert text.startswith("example.org/log\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n— example ")
    found, ((name, digest, signature),) = read_note(text)
    assert (found, name, signature) == (one, "example", bytes(64))
    assert signed_by(name, digest, bytes(32))
    assert not signed_by("other", digest, bytes(32))
    assert not signed_by(name, digest, b"\1" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\nAA==\n",
        "a\nx\nAA==\n\n— n AA==\n",
        "a\n01\nAA==\n\n— n AA==\n",
        "a\n1\n%%\n\n— n AA==\n",
        "a\n1\n" + "A" * 43 + "=\n\nn AA==\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoCheckpoint):
        read_note(text)
