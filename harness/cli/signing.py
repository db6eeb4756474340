"""Commands about signatures: keys, certify, verify."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import click

from harness.campaigns.options import cache_folder
from harness.certify.code import NOWHERE, check_code
from harness.certify.envelopes import Signing
from harness.cli.keys import keys_option, passphrase_option, read_passphrase, register_option, standard_folder
from harness.cli.output import error_console, print_json, say
from harness.cli.progress import progress
from harness.cli.shared import (
    campaign_in,
    catalogue_here,
    commission_option,
    existing,
    format_option,
    issuer_option,
    print_outputs,
    workspace_option,
)
from harness.cli.trusting import trust_of, trust_option
from harness.errors import UsageError
from harness.issuing import certifying
from harness.issuing.papers import Office, verifier
from harness.presentation import Presentation
from harness.register.register import REGISTER_FILES, STATES, Register, State
from harness.signing.keys import KeyStore
from harness.signing.trust import Trust
from harness.verification.checking import CheckStep, Status, check, check_published, status_of
from harness.verification.fetching import fetch, is_address
from harness.verification.packages import check_package, is_package

EXITS = {Status.VALID: 0, Status.INVALID: 1, Status.COULD_NOT_CHECK: 3}
WORDS = {Status.VALID: "有效 valid", Status.INVALID: "无效 INVALID", Status.COULD_NOT_CHECK: "无法核验 could not check"}


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
def certify_command(
    campaign: str | None,
    names: tuple[str, ...],
    register: Path | None,
    issuer: str,
    commission: Path | None,
    folder: Path | None,
    passphrase: str,
    workspace: Path,
    form: str,
) -> None:
    """Sign the certificate, report and record of CAMPAIGN (the newest where none is named).

    Refused where no certificate may be issued, and where journal, evidence or reports do not verify.
    """
    place, identity = campaign_in(workspace, campaign)
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=read_passphrase(passphrase))
    signing.check()
    with progress() as shown:
        finished = certifying.certify(
            identity,
            place,
            signing,
            shown,
            Register(register) if register else None,
            Office.of(issuer, commission),
            Presentation.standard(catalogue_here()),
        )
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
def revoke_command(
    number: str,
    register: Path,
    state: State,
    reason: str,
    by: str,
    names: tuple[str, ...],
    folder: Path | None,
    passphrase: str,
) -> None:
    """Publish that the certificate NUMBER is revoked, suspended, superseded, or active again."""
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=read_passphrase(passphrase))
    signing.check()
    sequence = Register(register).set_state(number, state, reason, by, signing)
    say(f"published: {number} is {state}; status list {sequence} in {Register(register).status_path}", err=True)


@click.command("renew")
@register_option
@click.option("--key", "names", multiple=True, required=True, help="name of a key; one must be Ed25519")
@keys_option
@passphrase_option
def renew_command(register: Path, names: tuple[str, ...], folder: Path | None, passphrase: str) -> None:
    """Publish the status list again, unchanged and fresh: after 30 days it is stale, and nobody can rely on it."""
    signing = Signing(store=KeyStore(folder or standard_folder()), names=names, passphrase=read_passphrase(passphrase))
    signing.check()
    say(f"published: status list {Register(register).renew(signing)}", err=True)


@click.command("verify")
@click.argument("place", required=False, metavar="[FILE|FOLDER|URL]")
@click.option(
    "--register",
    "register",
    metavar="FOLDER|URL",
    default=None,
    help="the issuer's public register: was it revoked since, is the log what it was",
)
@trust_option
@click.option("--script", "script", is_flag=True, help="print verify.sh, which checks with a shell and openssl alone")
@workspace_option
@format_option
@click.pass_context
def verify_command(
    ctx: click.Context,
    place: str | None,
    trust: Path | None,
    script: bool,
    register: str | None,
    workspace: Path,
    form: str,
) -> None:
    """Check a signed result: a folder with a certificate, a file of it, a package (any part of it), the address where
    it is published, or the text of a certificate's QR code.

    Without one: whether journal, evidence and reports of the workspace are what was recorded.
    Exit codes: 0 valid, 1 invalid, 3 could not check.
    """
    if script:
        say(verifier().decode(), nl=False)
        return
    if place is not None:
        steps = _checked(place, trust_of(trust), register)
        shown = [{"name": s.name, "status": s.status.value, "detail": s.detail} for s in steps]
        status = status_of(steps)
    else:
        looked = certifying.verify(existing(workspace))
        status = Status.VALID if all(step.ok for step in looked) else Status.INVALID
        shown = [{"name": s.name, "status": "valid" if s.ok else "invalid", "detail": s.detail} for s in looked]
    if form == "json":
        print_json({"status": status.value, "steps": shown})
    else:
        marks = {"valid": "ok     ", "invalid": "INVALID", "could-not-check": "?      "}
        for step in shown:
            say(f"{marks[step['status']]} {step['name']}: {step['detail']}")
        advice = {Status.INVALID: ": do not rely on it 不可采信", Status.COULD_NOT_CHECK: ": see above 见上"}
        unasked = place is not None and register is None
        open_question = (
            " (whether it was revoked: --register 未查是否撤销)" if unasked and status is Status.VALID else ""
        )
        say(WORDS[status] + advice.get(status, open_question))
    ctx.exit(EXITS[status])


def _checked(place: str, trust: Trust, register: str | None) -> list[CheckStep]:
    memory = cache_folder() / "seen-registers.json"
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        local = Path(register) if register is not None else None
        if register is not None and is_address(register):
            local = Path(scratch, "register")
            fetch(register, REGISTER_FILES, local)
        if place.startswith(NOWHERE):
            steps = check_code(place, trust.keys(), None, datetime.datetime.now(datetime.UTC).date())
            return [
                *steps,
                CheckStep(
                    name="statement",
                    status=Status.COULD_NOT_CHECK,
                    detail="a code alone says nothing of revocation: get the certificate's folder",
                ),
            ]
        if is_address(place):
            return check_published(place, trust, Path(scratch, "published"), register=local, memory=memory)
        if not Path(place).exists():
            raise UsageError(f"nothing at {place}", advice="name the folder of a certificate, a file of it, or a URL")
        if is_package(Path(place)):
            return check_package(Path(place), lambda folder: check(folder, trust, register=local, memory=memory))
        return check(Path(place), trust, register=local, memory=memory)
