"""Files of trust, and the script that reads them: a line for each key, which two readers read in the same way."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.entry import cli
from harness.errors import UsageError
from harness.signing.keys import KeyStore, PublicKey
from harness.signing.lines import plain
from harness.signing.trust import Binding, Trust, read_trust, write_trust
from tests.trusts import SCRIPT, binding

ROOT = Path(__file__).parents[2]
WORDS = "only for these tests"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name, algorithm in (("log", "ed25519"), ("seal", "ecdsa-p256")):
        KeyStore(folder).make(name, algorithm, WORDS)  # type: ignore[arg-type]
    return folder


def key(keys: Path, name: str) -> PublicKey:
    return KeyStore(keys).public_key(name)


def invoke(*words: str | Path) -> Result:
    return CliRunner(env={"HARNESS_PASSPHRASE": WORDS}).invoke(cli, [str(word) for word in words])


def test_the_guides_and_the_command_have_the_script_that_is_shipped() -> None:
    digest = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    for guide in ("guide.md", "guide.zh.md"):
        assert f"\n{digest}  verify.sh\n" in (ROOT / "docs" / "guide" / guide).read_text(encoding="utf-8"), guide
    assert invoke("verify", "--script").stdout_bytes == SCRIPT.read_bytes()


@given(st.text(), st.lists(st.sampled_from(["sign", "log", "time"]), min_size=1, unique=True), st.booleans())
def test_what_is_written_is_read(keys: Path, name: str, roles: list[str], until: bool) -> None:
    when = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    bound = binding(key(keys, "log"), plain(name), roles=tuple(roles), until=when if until else None)
    path = keys.parent / "written"
    write_trust(path, Trust((bound,)))
    (again,) = read_trust(path).bindings
    assert again.line == bound.line
    assert (again.issuer, again.roles, again.until) == (plain(name), tuple(roles), bound.until)


def test_a_key_is_bound_to_one_issuer_and_taken_away(keys: Path, tmp_path: Path) -> None:
    trust = tmp_path / "deep" / "trust"
    public = keys / "log.pub.pem"
    assert invoke("trust", "add", "Center A", public, "--trust", trust).exit_code == 0
    refused = invoke("trust", "add", "Center B", public, "--trust", trust)
    assert isinstance(refused.exception, UsageError)
    assert "is bound to Center A already" in refused.exception.message
    words = ("--trust", trust, "--from", "2026-01-01", "--role", "sign")
    assert invoke("trust", "add", "Center B", keys / "seal.pub.pem", *words).exit_code == 0
    shown = invoke("trust", "list", "--trust", trust).stdout
    assert f"Center A: ed25519 {key(keys, 'log').keyid} sign,log from - until -" in shown
    assert f"{key(keys, 'seal').keyid} sign from 2026-01-01T00:00:00Z until -" in shown
    assert invoke("trust", "remove", "Center A", "--trust", trust).exit_code == 0
    assert [bound.issuer for bound in read_trust(trust).bindings] == ["Center B"]
    for name in ("Center A", ""):
        assert isinstance(invoke("trust", "remove", name, "--trust", trust).exception, UsageError)
    log = invoke("trust", "add", "C", keys / "seal.pub.pem", "--role", "log", "--trust", tmp_path / "other")
    assert isinstance(log.exception, UsageError)


def test_a_folder_of_keys_is_refused_with_the_next_step(keys: Path, tmp_path: Path) -> None:
    refused = invoke("verify", tmp_path, "--trust", keys)
    assert isinstance(refused.exception, UsageError)
    assert "does not say for which issuer" in refused.exception.message
    assert "harness trust add" in refused.exception.advice


@pytest.mark.parametrize("text", ["a\nb", "a\x1bb", "a\u202eb", "a\u2028b", "a\x85b", "\ud800"])
def test_a_value_of_a_line_is_one_line(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(f" {text} ") == plain(text)
    assert plain("") == plain(" ") == "-"


def test_a_binding_holds_in_its_time(keys: Path) -> None:
    first, last = (datetime.datetime(2026, month, 1, tzinfo=datetime.UTC) for month in (2, 3))
    bound = Binding(key=key(keys, "log"), issuer="x", roles=("sign",), since=first, until=last)
    second = datetime.timedelta(seconds=1)
    assert [bound.holds_at(when) for when in (first - second, first, last, last + second)] == [False, True, True, False]
    assert Trust((bound,)).ended(bound.key.keyid, first).bindings[0].until == first
    assert Trust((bound,)).ended(bound.key.keyid, last + second).bindings[0].until == last
