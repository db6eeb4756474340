"""Keys that sign results: made, shown, rotated, certified, on tokens."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import click

from harness.certify.envelopes import Signing
from harness.cli.output import print_json, say
from harness.cli.shared import format_option
from harness.errors import UsageError
from harness.hosts.inventory import resolve_secret
from harness.register.register import KeyState, Register
from harness.signing import authority
from harness.signing.keys import ALGORITHMS, Algorithm, KeyStore
from harness.signing.lines import time_text
from harness.signing.succession import rotate, succession_of
from harness.signing.tokens import TokenKey


def standard_folder() -> Path:
    """Where keys lie unless another folder is named: not in a workspace, which is handed on."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "xinchuang-harness" / "keys"


keys_option = click.option(
    "--keys",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="folder of the keys  [default: ~/.config/xinchuang-harness/keys]",
)
register_option = click.option(
    "--register",
    "register",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="public register of the issuer",
)
passphrase_option = click.option(
    "--passphrase",
    default="env:HARNESS_PASSPHRASE",
    show_default=True,
    metavar="REFERENCE",
    help="env:NAME or file:PATH, never the words",
)


def read_passphrase(reference: str) -> str:
    """The passphrase from the place that ``reference`` names: ``env:NAME`` or ``file:PATH``.

    Raises:
        UsageError: ``reference`` has another form.
    """
    if reference.partition(":")[0] not in ("env", "file"):
        raise UsageError(
            "--passphrase names where the passphrase is: env:NAME or file:PATH",
            advice="for example: --passphrase file:/run/secrets/passphrase",
        )
    return resolve_secret(reference, "the passphrase").rstrip("\n")


@click.group("keys")
def keys_command() -> None:
    """Keys that sign results; the private halves are encrypted at rest."""


@keys_command.command("new")
@click.argument("name")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="ed25519", show_default=True)
@keys_option
@passphrase_option
def keys_new(name: str, algorithm: Algorithm, folder: Path | None, passphrase: str) -> None:
    """Make the key NAME: NAME.pem stays here, NAME.pub.pem is for those who verify."""
    store = KeyStore(folder or standard_folder())
    key = store.make(name, algorithm, read_passphrase(passphrase))
    say(f"made: {key.name} ({key.algorithm}), key id {key.keyid}", err=True)
    say(
        f"self-made 自建密钥: nobody vouches for it; hand out {store.folder / f'{name}.pub.pem'} "
        "by a way that is trusted",
        err=True,
    )


@keys_command.command("list")
@keys_option
@format_option
def keys_list(folder: Path | None, form: str) -> None:
    """List the keys, with the id that certificates and envelopes name, and where the private half is."""
    store = KeyStore(folder or standard_folder())
    every = store.public()
    if form == "json":
        rows = [
            {
                "name": k.name,
                "algorithm": k.algorithm,
                "keyid": k.keyid,
                "private": store.state(k.name),
                "certificate": bool(store.chain(k.name)),
            }
            for k in every
        ]
        print_json({"keys": rows})
        return
    for key in every:
        marks = [
            *([] if store.state(key.name) == "here" else [store.state(key.name)]),
            *(["X.509"] if store.chain(key.name) else []),
        ]
        say("  ".join([key.name, key.algorithm, key.keyid, *marks]))
    if not every:
        say("no key; make one with: harness keys new NAME", err=True)


@keys_command.command("show")
@click.argument("name")
@keys_option
@format_option
def keys_show(name: str, folder: Path | None, form: str) -> None:
    """Show the key NAME: id, public half, and the subjects of its certificates."""
    store = KeyStore(folder or standard_folder())
    key = store.public_key(name)
    subjects = authority.subjects(store.chain(name))
    if form == "json":
        print_json(
            {
                "name": key.name,
                "algorithm": key.algorithm,
                "keyid": key.keyid,
                "private": store.state(name),
                "pem": key.pem.decode(),
                "certificates": subjects,
            }
        )
        return
    say(f"{key.name}  {key.algorithm}  {key.keyid}")
    say(f"private half 私钥: {store.state(name)}")
    for subject in subjects:
        say(f"certificate 证书: {subject['subject']} ({subject['from']} - {subject['to']})")
    say(key.pem.decode().rstrip())


@keys_command.command("rotate")
@click.argument("name")
@click.option("--to", "to", required=True, help="name of the key that follows it")
@keys_option
@passphrase_option
def keys_rotate(name: str, to: str, folder: Path | None, passphrase: str) -> None:
    """Make a key that follows NAME, and retire NAME: it signs no more, and what it signed still holds.

    Publish both files that are named: who trusts the old key then trusts the new one.
    """
    store = KeyStore(folder or standard_folder())
    successor, path = rotate(store, name, to, read_passphrase(passphrase))
    say(f"made: {successor.name} ({successor.algorithm}), key id {successor.keyid}; {name} is retired", err=True)
    say(f"publish 请公布: {store.folder / f'{to}.pub.pem'} and {path}", err=True)
    say(f"and in the register: harness keys end {name} --state retired --key {to} --register …", err=True)
    if store.chain(name):
        say(f"{to} has no X.509 certificate yet: harness keys request {to}", err=True)


@keys_command.command("end")
@click.argument("name")
@click.option("--state", type=click.Choice(("retired", "compromised")), required=True)
@click.option("--since", type=click.DateTime(), default=None, help="UTC  [default: its succession, or now]")
@click.option("--reason", default="", help="one line that the public will read")
@click.option("--key", "names", multiple=True, required=True, help="name of a key that signs this; one must be Ed25519")
@register_option
@keys_option
@passphrase_option
def keys_end(
    name: str,
    state: KeyState,
    since: datetime.datetime | None,
    reason: str,
    names: tuple[str, ...],
    register: Path,
    folder: Path | None,
    passphrase: str,
) -> None:
    """Publish in the register that the key NAME is retired, or was in other hands: what it signed holds only where the
    log had it before."""
    store = KeyStore(folder or standard_folder())
    key = store.public_key(name)
    followed = succession_of(store, key)
    when = since.replace(tzinfo=datetime.UTC) if since is not None else followed or datetime.datetime.now(datetime.UTC)
    signing = Signing(store=store, names=names, passphrase=read_passphrase(passphrase))
    signing.check()
    sequence = Register(register).set_key(key.keyid, state, when, reason or state, signing)
    if store.state(name) == "here":
        store.retire(name)
    say(f"published: {name} is {state} since {time_text(when)}; status list {sequence}", err=True)


@keys_command.command("authority")
@click.argument("name")
@keys_option
@passphrase_option
def keys_authority(name: str, folder: Path | None, passphrase: str) -> None:
    """Make a TEST authority NAME, whose certificates name themselves a test and which no reader trusts."""
    store = KeyStore(folder or standard_folder())
    authority.make_test_authority(store, name, read_passphrase(passphrase))
    say(f"made: test authority 测试机构 {name}; {store.folder / f'{name}.crt.pem'}", err=True)
    say("for tests alone 仅供测试: a center gets its certificate from an accredited authority", err=True)


@keys_command.command("issue")
@click.argument("name")
@click.option("--authority", "by", required=True, help="test authority of the same folder")
@click.option("--common-name", "common", default="", help="who signs; the key's name where none is given")
@click.option("--organisation", default="Test", show_default=True)
@keys_option
@passphrase_option
def keys_issue(name: str, by: str, common: str, organisation: str, folder: Path | None, passphrase: str) -> None:
    """Have a test authority certify the key NAME (P-256), so that it can sign PDF files."""
    store = KeyStore(folder or standard_folder())
    authority.certify_with(store, by, name, read_passphrase(passphrase), common or name, organisation)
    say(f"made: {store.folder / f'{name}.crt.pem'} (test 仅供测试)", err=True)


@keys_command.command("request")
@click.argument("name")
@click.option("--common-name", "common", required=True, help="who signs")
@click.option("--organisation", required=True)
@keys_option
@passphrase_option
def keys_request(name: str, common: str, organisation: str, folder: Path | None, passphrase: str) -> None:
    """Print a request (PKCS #10) by which an authority certifies the key NAME."""
    store = KeyStore(folder or standard_folder())
    say(authority.request(store, name, read_passphrase(passphrase), common, organisation).decode(), nl=False)


@keys_command.command("install")
@click.argument("name")
@click.argument("chain", type=click.Path(path_type=Path, dir_okay=False))
@keys_option
def keys_install(name: str, chain: Path, folder: Path | None) -> None:
    """Install what an authority has sent for the key NAME: its certificate, then those above it (PEM)."""
    try:
        data = chain.read_bytes()
    except OSError as error:
        raise UsageError(f"{chain} cannot be read: {error.strerror}", advice="name a PEM file") from error
    certificate = authority.install(KeyStore(folder or standard_folder()), name, data)
    say(
        f"installed: {certificate.subject.rfc4514_string()}, until {certificate.not_valid_after_utc:%Y-%m-%d}", err=True
    )


@keys_command.command("token")
@click.argument("name")
@click.option("--module", required=True, help="PKCS #11 library of the token's maker")
@click.option("--token", "token", required=True, help="label of the token")
@click.option("--label", required=True, help="label of a P-256 key on it")
@keys_option
@passphrase_option
def keys_token(name: str, module: str, token: str, label: str, folder: Path | None, passphrase: str) -> None:
    """Enter a key of a PKCS #11 token as NAME; the passphrase is its PIN, and the key never leaves it."""
    try:
        key = TokenKey(module=module, token=token, label=label)
    except ValueError as error:
        raise UsageError(f"no such place of a key: {error}", advice="--module is an absolute path") from error
    entered = KeyStore(folder or standard_folder()).add_token(name, key, read_passphrase(passphrase))
    say(f"entered: {entered.name} ({entered.algorithm}), key id {entered.keyid}", err=True)
