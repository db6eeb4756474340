"""Commands about trust: which keys speak for which issuer."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from harness.cli.keys import standard_folder
from harness.cli.output import print_json, say
from harness.cli.shared import format_option
from harness.errors import UsageError
from harness.signing.keys import read_public
from harness.signing.lines import NOTHING, plain, time_text
from harness.signing.succession import ENDING, read_succession
from harness.signing.trust import ROLES, Binding, Trust, read_trust, write_trust


def standard_trust() -> Path:
    """The file of trust unless another one is named."""
    return standard_folder().parent / "trust"


trust_option = click.option(
    "--trust",
    "trust",
    type=click.Path(path_type=Path, dir_okay=True),
    default=None,
    help="file that binds issuers to keys  [default: ~/.config/xinchuang-harness/trust]",
)


def trust_of(place: Path | None) -> Trust:
    """The trust of a file that is named, or of the standard one, which may not be there yet.

    Raises:
        UsageError: the file that is named cannot be read, or is no file of trust.
    """
    return read_trust(place) if place is not None else _known(standard_trust())


def _known(path: Path) -> Trust:
    return read_trust(path) if path.exists() else Trust()


@click.group("trust")
def trust_command() -> None:
    """Which keys speak for which issuer, what they sign, and since when."""


@trust_command.command("add")
@click.argument("issuer")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="sign: statements; log: a register's log; time: time stamps  [default: sign, and log for an Ed25519 key]",
)
@click.option(
    "--from", "since", type=click.DateTime(), default=None, help="the key speaks for the issuer since then, UTC"
)
@click.option("--until", "until", type=click.DateTime(), default=None, help="… and until then")
@trust_option
def trust_add(
    issuer: str,
    files: tuple[Path, ...],
    roles: tuple[str, ...],
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    trust: Path | None,
) -> None:
    """Bind public keys to ISSUER, as its certificates name it; or take over a succession of a key that is bound.

    FILE is NAME.pub.pem, got from the issuer by a way that you trust, or NAME.succession.dsse.json.
    """
    place = trust or standard_trust()
    known = _known(place)
    first, last = (when.replace(tzinfo=datetime.UTC) if when is not None else None for when in (since, until))
    for file in files:
        if file.name.endswith(ENDING):
            known = _followed(known, issuer, file)
            continue
        try:
            key = read_public(plain(issuer), file.read_bytes(), may_be_rsa=roles == ("time",))
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}", advice="name a public key") from error
        standard = ("sign", "log") if key.algorithm == "ed25519" else ("sign",)
        if "log" in roles and key.algorithm != "ed25519":
            raise UsageError(f"{file} is no Ed25519 key: it signs no log", advice="leave --role log out")
        known = known.add(
            Binding(
                key=key, issuer=plain(issuer), roles=tuple(dict.fromkeys(roles)) or standard, since=first, until=last
            )
        )
    write_trust(place, known)
    for binding in known.bindings:
        if binding.issuer == plain(issuer):
            say(f"{binding.issuer}: {binding.key.keyid} {','.join(binding.roles)}", err=True)
    say("compare these ids with those that the issuer publishes 请与出具方公布的密钥编号比对", err=True)


def _followed(known: Trust, issuer: str, file: Path) -> Trust:
    """The trust with the successor of a key that is bound, which ends when the succession says."""
    succession = read_succession(file, [binding.key for binding in known.bindings])
    before = known.bound(succession.before.keyid)
    assert before is not None
    if before.issuer != plain(issuer):
        raise UsageError(f"{file} is about a key of {before.issuer}, not of {issuer}", advice="name that issuer")
    if before.until is not None:
        raise UsageError(
            f"the key {before.key.keyid[:16]} has ended on {time_text(before.until)}: nothing follows it any more",
            advice="ask the issuer which of its keys are right, by another way than the one this file came by",
        )
    binding = Binding(key=succession.after, issuer=before.issuer, roles=before.roles, since=succession.time)
    return known.ended(before.key.keyid, succession.time).add(binding)


@trust_command.command("remove")
@click.argument("name", metavar="ISSUER|KEYID")
@trust_option
def trust_remove(name: str, trust: Path | None) -> None:
    """Take an issuer away with all of its keys, or a key, by the beginning of its id."""
    place = trust or standard_trust()
    write_trust(place, read_trust(place).without(name))
    say(f"{place}: {name} is taken away", err=True)


@trust_command.command("list")
@trust_option
@format_option
def trust_list(trust: Path | None, form: str) -> None:
    """Show every key with its issuer, roles and times."""
    rows = [
        {
            "issuer": binding.issuer,
            "roles": list(binding.roles),
            "from": time_text(binding.since) if binding.since is not None else None,
            "until": time_text(binding.until) if binding.until is not None else None,
            "algorithm": binding.key.algorithm,
            "keyid": binding.key.keyid,
        }
        for binding in trust_of(trust).bindings
    ]
    if form == "json":
        print_json({"keys": rows})
        return
    for row in rows:
        say(
            f"{row['issuer']}: {row['algorithm']} {row['keyid']} {','.join(row['roles'] or ())}"
            f" from {row['from'] or NOTHING} until {row['until'] or NOTHING}"
        )
