"""Commands about signatures: keys, certify, verify."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

import click

from harness import campaigns
from harness.campaigns import Office, cache_folder
from harness.certify import Signing, authority
from harness.certify.checking import CheckStep, Status, check, check_published, status_of
from harness.certify.code import NOWHERE, check_code
from harness.certify.fetching import fetch, is_address
from harness.certify.keys import ALGORITHMS, Algorithm, KeyStore, PublicKey, trusted
from harness.certify.register import REGISTER_FILES, STATES, Register, State
from harness.certify.succession import followers, rotate
from harness.certify.tokens import TokenKey
from harness.cli.output import error_console, print_json
from harness.cli.progress import progress
from harness.cli.shared import (
    campaign_in,
    commission_option,
    existing,
    format_option,
    issuer_option,
    print_outputs,
    workspace_option,
)
from harness.errors import UsageError
from harness.machines.inventory import resolve_secret

EXITS = {Status.VALID: 0, Status.INVALID: 1, Status.COULD_NOT_CHECK: 3}
WORDS = {Status.VALID: "有效 valid", Status.INVALID: "无效 INVALID", Status.COULD_NOT_CHECK: "无法核验 could not check"}


def standard_folder() -> Path:
    """Where keys lie unless another folder is named: not in a workspace, which is handed on."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "xinchuang-harness" / "keys"


keys_option = click.option("--keys", "folder", type=click.Path(path_type=Path, file_okay=False), default=None,
                           help="folder of the keys  [default: ~/.config/xinchuang-harness/keys]")  # fmt: skip
register_option = click.option("--register", "register", type=click.Path(path_type=Path, file_okay=False),
                               required=True, help="public register of the issuer")  # fmt: skip
passphrase_option = click.option("--passphrase", default="env:HARNESS_PASSPHRASE", show_default=True,
                                 metavar="REFERENCE", help="env:NAME or file:PATH, never the words")  # fmt: skip


def _passphrase(reference: str) -> str:
    if reference.partition(":")[0] not in ("env", "file"):
        raise UsageError("--passphrase names where the passphrase is: env:NAME or file:PATH",
                         advice="for example: --passphrase file:/run/secrets/passphrase")  # fmt: skip
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
    made = store.make(name, algorithm, _passphrase(passphrase))
    click.echo(f"made: {made.name} ({made.algorithm}), key id {made.keyid}", err=True)
    click.echo(f"self-made 自建密钥: nobody vouches for it; hand out {store.folder / f'{name}.pub.pem'} "
               "by a way that is trusted", err=True)  # fmt: skip


@keys_command.command("list")
@keys_option
@format_option
def keys_list(folder: Path | None, form: str) -> None:
    """List the keys, with the id that certificates and envelopes name, and where the private half is."""
    store = KeyStore(folder or standard_folder())
    every = store.public()
    if form == "json":
        told = [{"name": k.name, "algorithm": k.algorithm, "keyid": k.keyid, "private": store.state(k.name),
                 "certificate": bool(store.chain(k.name))} for k in every]  # fmt: skip
        print_json({"keys": told})
        return
    for key in every:
        marks = [*([] if store.state(key.name) == "here" else [store.state(key.name)]),
                 *(["X.509"] if store.chain(key.name) else [])]  # fmt: skip
        click.echo("  ".join([key.name, key.algorithm, key.keyid, *marks]))
    if not every:
        click.echo("no key; make one with: harness keys new NAME", err=True)


@keys_command.command("show")
@click.argument("name")
@keys_option
@format_option
def keys_show(name: str, folder: Path | None, form: str) -> None:
    """Show the key NAME: id, public half, and the subjects of its certificates."""
    store = KeyStore(folder or standard_folder())
    key = store.one(name)
    subjects = authority.subjects(store.chain(name))
    if form == "json":
        print_json({"name": key.name, "algorithm": key.algorithm, "keyid": key.keyid, "private": store.state(name),
                    "pem": key.pem.decode(), "certificates": subjects})  # fmt: skip
        return
    click.echo(f"{key.name}  {key.algorithm}  {key.keyid}")
    click.echo(f"private half 私钥: {store.state(name)}")
    for one in subjects:
        click.echo(f"certificate 证书: {one['subject']} ({one['from']} - {one['to']})")
    click.echo(key.pem.decode().rstrip())


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
    made, path = rotate(store, name, to, _passphrase(passphrase))
    click.echo(f"made: {made.name} ({made.algorithm}), key id {made.keyid}; {name} is retired", err=True)
    click.echo(f"publish 请公布: {store.folder / f'{to}.pub.pem'} and {path}", err=True)
    if store.chain(name):
        click.echo(f"{to} has no X.509 certificate yet: harness keys request {to}", err=True)


@keys_command.command("authority")
@click.argument("name")
@keys_option
@passphrase_option
def keys_authority(name: str, folder: Path | None, passphrase: str) -> None:
    """Make a TEST authority NAME, whose certificates name themselves a test and which no reader trusts."""
    store = KeyStore(folder or standard_folder())
    authority.make_test_authority(store, name, _passphrase(passphrase))
    click.echo(f"made: test authority 测试机构 {name}; {store.folder / f'{name}.crt.pem'}", err=True)
    click.echo("for tests alone 仅供测试: a center gets its certificate from an accredited authority", err=True)


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
    authority.certify_with(store, by, name, _passphrase(passphrase), common or name, organisation)
    click.echo(f"made: {store.folder / f'{name}.crt.pem'} (test 仅供测试)", err=True)


@keys_command.command("request")
@click.argument("name")
@click.option("--common-name", "common", required=True, help="who signs")
@click.option("--organisation", required=True)
@keys_option
@passphrase_option
def keys_request(name: str, common: str, organisation: str, folder: Path | None, passphrase: str) -> None:
    """Print a request (PKCS #10) by which an authority certifies the key NAME."""
    store = KeyStore(folder or standard_folder())
    click.echo(authority.request(store, name, _passphrase(passphrase), common, organisation).decode(), nl=False)


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
    made = authority.install(KeyStore(folder or standard_folder()), name, data)
    click.echo(f"installed: {made.subject.rfc4514_string()}, until {made.not_valid_after_utc:%Y-%m-%d}", err=True)


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
    made = KeyStore(folder or standard_folder()).add_token(name, key, _passphrase(passphrase))
    click.echo(f"entered: {made.name} ({made.algorithm}), key id {made.keyid}", err=True)


@click.command("certify")
@click.argument("campaign", required=False)
@click.option("--key", "names", multiple=True, required=True, help="name of a key; several sign side by side")
@click.option(
    "--register",
    "register",
    type=click.Path(path_type=Path, file_okay=False),
    help="public register of the issuer: the certificate is entered into its log",
)
@issuer_option
@commission_option
@keys_option
@passphrase_option
@workspace_option
@format_option
def certify_command(campaign: str | None, names: tuple[str, ...], register: Path | None, issuer: str,
                    commission: Path | None, folder: Path | None, passphrase: str, workspace: Path,
                    form: str) -> None:  # fmt: skip
    """Sign the certificate, report and record of CAMPAIGN (the newest where none is named).

    Refused where no certificate may be issued, and where journal, evidence or reports do not verify.
    """
    place, identity = campaign_in(workspace, campaign)
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=_passphrase(passphrase))
    signing.check()
    with progress() as shown:
        finished = campaigns.certify(identity, place, signing, shown, Register(register) if register else None,
                                     Office.of(issuer, commission))  # fmt: skip
    if form == "json":
        print_json(finished.summary())
    print_outputs(finished, error_console())


@click.command("revoke")
@click.argument("number")
@register_option
@click.option(
    "--status",
    "state",
    type=click.Choice(STATES),
    default="revoked",
    show_default=True,
    help="active takes a suspension back",
)
@click.option("--reason", required=True, help="one line that the public will read")
@click.option("--by", default="", help="number of the certificate that supersedes it")
@click.option("--key", "names", multiple=True, required=True, help="name of a key; one must be Ed25519")
@keys_option
@passphrase_option
def revoke_command(number: str, register: Path, state: State, reason: str, by: str, names: tuple[str, ...],
                   folder: Path | None, passphrase: str) -> None:  # fmt: skip
    """Publish that the certificate NUMBER is revoked, suspended, superseded, or active again."""
    if (state == "superseded") != bool(by):
        raise UsageError(
            "--by and --status superseded belong together", advice="name the certificate that supersedes it"
        )
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=_passphrase(passphrase))
    signing.check()
    sequence = Register(register).set_state(number, state, reason, by, signing)
    click.echo(f"published: {number} is {state}; status list {sequence} in {Register(register).status_path}", err=True)


@click.command("renew")
@register_option
@click.option("--key", "names", multiple=True, required=True, help="name of a key; one must be Ed25519")
@keys_option
@passphrase_option
def renew_command(register: Path, names: tuple[str, ...], folder: Path | None, passphrase: str) -> None:
    """Publish the status list again, unchanged and fresh: after 30 days it is stale, and nobody can rely on it."""
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=_passphrase(passphrase))
    signing.check()
    click.echo(f"published: status list {Register(register).renew(signing)}", err=True)


@click.command("verify")
@click.argument("place", required=False, metavar="[FILE|FOLDER|URL]")
@click.option("--register", "register", metavar="FOLDER|URL", default=None,
              help="the issuer's public register: was it revoked since, is the log what it was")  # fmt: skip
@click.option(
    "--trust",
    "trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="public key of an issuer, or a folder of them  [default: the folder of keys]",
)
@keys_option
@workspace_option
@format_option
@click.pass_context
def verify_command(ctx: click.Context, place: str | None, trust: tuple[Path, ...], register: str | None,
                   folder: Path | None, workspace: Path, form: str) -> None:  # fmt: skip
    """Check a signed result: a folder with a certificate, a file of it, the address where it is published, or the text
    of a certificate's QR code.

    Without one: whether journal, evidence and reports of the workspace are what was recorded.
    Exit codes: 0 valid, 1 invalid, 3 could not check.
    """
    if place is not None:
        places = list(trust) if trust else [folder or standard_folder()]
        known = trusted(places) if trust else KeyStore(places[0]).public()
        steps = _checked(place, [*known, *followers(known, places)], register)
        shown = [{"name": s.name, "status": s.status.value, "detail": s.detail} for s in steps]
        status = status_of(steps)
    else:
        looked = campaigns.verify(existing(workspace))
        status = Status.VALID if all(step.ok for step in looked) else Status.INVALID
        shown = [{"name": s.name, "status": "valid" if s.ok else "invalid", "detail": s.detail} for s in looked]
    if form == "json":
        print_json({"status": status.value, "steps": shown})
    else:
        marks = {"valid": "ok     ", "invalid": "INVALID", "could-not-check": "?      "}
        for step in shown:
            click.echo(f"{marks[step['status']]} {step['name']}: {step['detail']}")
        advice = {Status.INVALID: ": do not rely on it 不可采信", Status.COULD_NOT_CHECK: ": see above 见上"}
        click.echo(WORDS[status] + advice.get(status, ""))
    ctx.exit(EXITS[status])


def _checked(place: str, keys: list[PublicKey], register: str | None) -> list[CheckStep]:
    memory = cache_folder() / "seen-registers.json"
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        local = Path(register) if register is not None else None
        if register is not None and is_address(register):
            local = Path(scratch, "register")
            fetch(register, REGISTER_FILES, local)
        if place.startswith(NOWHERE):
            steps = check_code(place, keys, None, datetime.datetime.now(datetime.UTC).date())
            return [
                *steps,
                CheckStep(
                    name="statement",
                    status=Status.COULD_NOT_CHECK,
                    detail="a code alone says nothing of revocation: get the certificate's folder",
                ),
            ]
        if is_address(place):
            return check_published(place, keys, Path(scratch, "published"), register=local, memory=memory)
        if not Path(place).exists():
            raise UsageError(f"nothing at {place}", advice="name the folder of a certificate, a file of it, or a URL")
        return check(Path(place), keys, register=local, memory=memory)
