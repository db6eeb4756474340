"""The proof in a QR code: what is in it comes out again, and nothing of it can be changed."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.certify.code import NoProof, Proof, check_code, compact, read_proof
from harness.certify.steps import status_of
from harness.signing.keys import Algorithm, KeyStore

WORDS = "only for these tests"
DAYS = st.dates(datetime.date(1970, 1, 2), datetime.date(4000, 1, 1))
TODAY = datetime.date(2026, 6, 1)
BARE = Proof(number="XC-2026-1", sha256="ab" * 32, issued=datetime.date(2026, 1, 2), until=datetime.date(2027, 1, 2))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    made = KeyStore(tmp_path_factory.mktemp("keys"))
    for algorithm in ("ed25519", "ecdsa-p256"):
        made.make(algorithm, algorithm, WORDS)  # type: ignore[arg-type]
    return made


def signed(store: KeyStore, algorithm: Algorithm, bare: Proof = BARE) -> Proof:
    key, signature = store.sign(algorithm, WORDS, bare.message)
    return replace(bare, signature=compact(key, signature))


@given(
    number=st.from_regex(r"[\w./()（）〔〕-]{1,64}", fullmatch=True),
    digest=st.binary(min_size=32, max_size=32),
    issued=DAYS,
    until=st.none() | DAYS,
    signature=st.binary(min_size=64, max_size=64),
)
def test_what_is_written_is_read(
    number: str, digest: bytes, issued: datetime.date, until: datetime.date | None, signature: bytes
) -> None:
    one = Proof(number=number, sha256=digest.hex(), issued=issued, until=until, signature=signature)
    assert read_proof(one.text("https://example.invalid/c/{number}")) == one
    assert read_proof(one.text()) == one


@given(st.text())
def test_anything_else_is_no_proof(text: str) -> None:
    with pytest.raises(NoProof):
        read_proof(f"https://example.invalid/#1.{text}")


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256"])
def test_every_character_counts(store: KeyStore, algorithm: Algorithm) -> None:
    text = signed(store, algorithm).text()
    start = text.index("#")
    assert len(text) < 213, "what a QR code of version 10 holds at level M"
    assert status_of(check_code(text, store.public(), None, TODAY)).value == "valid"
    for index in range(start, len(text)):
        other = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        assert status_of(check_code(other, store.public(), None, TODAY)).value != "valid", index


def test_another_spelling_of_the_same_is_no_proof(store: KeyStore) -> None:
    text = signed(store, "ed25519").text()
    day = str((BARE.issued - datetime.date(1970, 1, 1)).days)
    for other in (f"0{day}", "".join(chr(0x660 + int(digit)) for digit in day)):  # a leading zero, Arabic digits
        with pytest.raises(NoProof):
            read_proof(text.replace(f".{day}.", f".{other}."))
    with pytest.raises(NoProof):
        read_proof(text.replace("XC-2026-1", "%58C-2026-1"))


def test_a_code_of_another_certificate_or_one_that_is_over(store: KeyStore) -> None:
    text = signed(store, "ed25519").text()
    steps = check_code(text, store.public(), b"another predicate", TODAY)
    assert status_of(steps).value == "invalid"
    assert status_of(check_code(text, store.public(), None, datetime.date(2027, 1, 3))).value == "invalid"
    assert status_of(check_code(text, [], None, TODAY)).value == "could-not-check"
