"""Commands about signatures: keys, certify, verify."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness import campaigns
from harness.campaigns import cache_folder
from harness.certify import Signing
from harness.certify.checking import Status, check, status_of
from harness.certify.keys import ALGORITHMS, Algorithm, KeyStore, trusted
from harness.certify.register import STATES, Register, State
from harness.cli.output import error_console, print_json
from harness.cli.progress import progress
from harness.cli.shared import campaign_in, existing, format_option, print_outputs, workspace_option
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
    """List the public halves, with the id that certificates and envelopes name."""
    every = KeyStore(folder or standard_folder()).public()
    if form == "json":
        print_json({"keys": [{"name": k.name, "algorithm": k.algorithm, "keyid": k.keyid} for k in every]})
        return
    for key in every:
        click.echo(f"{key.name}  {key.algorithm}  {key.keyid}")
    if not every:
        click.echo("no key; make one with: harness keys new NAME", err=True)


@click.command("certify")
@click.argument("campaign", required=False)
@click.option("--key", "names", multiple=True, required=True, help="name of a key; several sign side by side")
@click.option(
    "--register",
    "register",
    type=click.Path(path_type=Path, file_okay=False),
    help="public register of the issuer: the certificate is entered into its log",
)
@keys_option
@passphrase_option
@workspace_option
@format_option
def certify_command(campaign: str | None, names: tuple[str, ...], register: Path | None, folder: Path | None,
                    passphrase: str, workspace: Path, form: str) -> None:  # fmt: skip
    """Sign the certificate, report and record of CAMPAIGN (the newest where none is named).

    Refused where no certificate may be issued, and where journal, evidence or reports do not verify.
    """
    place, identity = campaign_in(workspace, campaign)
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=_passphrase(passphrase))
    signing.check()
    with progress() as shown:
        finished = campaigns.certify(identity, place, signing, shown, Register(register) if register else None)
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
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option(
    "--register",
    "register",
    type=click.Path(path_type=Path, file_okay=False),
    help="the issuer's public register: was it revoked since, is the log what it was",
)
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
def verify_command(ctx: click.Context, place: Path | None, trust: tuple[Path, ...], register: Path | None,
                   folder: Path | None, workspace: Path, form: str) -> None:  # fmt: skip
    """Check a signed result: PLACE is the folder of a certificate, or an envelope beside its files.

    Without PLACE: whether journal, evidence and reports of the workspace are what was recorded.
    Exit codes: 0 valid, 1 invalid, 3 could not check.
    """
    if place is not None:
        if not place.exists():
            raise UsageError(f"nothing at {place}", advice="name the folder of a certificate, or an envelope")
        known = trusted(list(trust)) if trust else KeyStore(folder or standard_folder()).public()
        steps = check(place, known, register=register, memory=cache_folder() / "seen-registers.json")
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
