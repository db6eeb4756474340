"""Certificates: the draft that the applicant confirms, and the issue, by the code that ``harness certify`` uses."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.certify.envelopes import ENVELOPES
from harness.desk import tables
from harness.desk.applications import Application, look, take
from harness.desk.database import Actor, note
from harness.desk.office import Office, Seals
from harness.desk.refusing import Refusal
from harness.errors import HarnessError, UsageError
from harness.issuing import certifying, outcome, papers, rendering
from harness.issuing.rendering import OUTPUTS
from harness.model.definitions import Commission
from harness.signing.dsse import Envelope
from harness.system.canonical import read_json

#: Papers are rendered one at a time: each takes a core for seconds.
_TURN = threading.Lock()


def commission_of(application: Application, approver: str) -> Commission:
    """What people know of the test: from the application, and from who took which step last.

    Raises:
        Refusal: two of them bear one name, so that nobody could tell them apart on paper.
    """
    last = {step["action"]: step["who"] for step in application.steps}
    vendor = application.row["vendor"]
    try:
        return Commission.model_validate(
            {
                "applicant": {"zh": vendor, "en": vendor},
                "contact": application.form.contact,
                "order": f"APP-{application.id}",
                "tester": last.get("submit_report", ""),
                "reviewer": last.get("pass_first", ""),
                "approver": approver,
            }
        )
    except ValidationError as error:
        raise Refusal(409, "names_same") from error


def _seals(office: Office) -> Seals:
    if office.seals is None:
        raise Refusal(409, "no_keys")
    return office.seals


def make_draft(office: Office, actor: Actor, identity: int) -> None:
    """Render report and certificate for the applicant to confirm: unsigned, and marked so.

    Raises:
        Refusal: the actor may not, or the issuer's policy lets no certificate be issued.
    """
    seals = _seals(office)
    with _TURN, office.desk.acting(actor) as connection:
        take(connection, actor, identity, "make_draft")
        current = look(connection, actor, identity)
        approver = next((step["who"] for step in reversed(current.steps) if step["action"] == "pass_second"), "")
        commissioned = papers.Office(issuer=seals.issuer, commission=commission_of(current, approver))
        campaign = str(current.row["campaign"])
        try:
            finished = rendering.finish(
                campaign,
                office.workspace,
                outcome.Progress(),
                close=False,
                office=commissioned,
                presentation=office.presentation,
            )
        except UsageError as error:
            raise Refusal(409, "not_certified", detail=error.message[:1000]) from error
        if finished.uncertified:
            raise Refusal(409, "not_certified", detail=finished.uncertified[:1000])
        _keep(office, finished.outputs)


def issue(office: Office, actor: Actor, identity: int) -> str:
    """Sign the certificate, enter it into the register, and list it; gives its number.

    The step, which the database holds against its rules, comes first: nothing is signed for who may not. If the
    transaction is lost after the signature, the application still waits, and the next try signs anew under the same
    number; the register counts the last entry.

    Raises:
        Refusal: the actor may not, or no certificate may be issued.
    """
    seals = _seals(office)
    with _TURN, office.desk.acting(actor) as connection:
        take(connection, actor, identity, "issue")
        current = look(connection, actor, identity)
        campaign = str(current.row["campaign"])
        commissioned = papers.Office(issuer=seals.issuer, commission=commission_of(current, actor.name))
        try:
            finished = certifying.certify(
                campaign,
                office.workspace,
                seals.signing,
                outcome.Progress(),
                seals.register,
                commissioned,
                office.presentation,
            )
        except UsageError as error:
            raise Refusal(409, "not_certified", detail=error.message[:1000]) from error
        _keep(office, finished.outputs)
        predicate = predicate_in(office.workspace.folder(campaign))
        connection.execute(
            tables.certificates.insert().values(
                number=predicate["number"],
                application=identity,
                campaign=campaign,
                product=current.form.product,
                version=predicate["product"]["version"],
                vendor=current.row["vendor"],
                kind=predicate["type"],
                issued=predicate["issued"],
                valid_until=predicate["valid_until"] or "",
                platforms=json.dumps(_platforms(predicate), ensure_ascii=False),
                files=json.dumps(sorted(Path(path).name for path in finished.outputs.values())),
            )
        )
        note(connection, actor, "certificate-issued", predicate["number"], campaign=campaign)
    return str(predicate["number"])


def _platforms(predicate: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("axes", "architecture", "fidelity", "verdict")
    return [{name: platform[name] for name in names} for platform in predicate["platforms"]]


def predicate_in(folder: Path) -> dict[str, Any]:
    """What a certificate in a folder of ours says, for machines.

    Raises:
        Refusal: none lies there.
    """
    try:
        text = (folder / ENVELOPES["adaptation"]).read_text(encoding="utf-8")
        return dict(read_json(Envelope.read(text).payload)["predicate"])
    except (OSError, ValueError, KeyError, HarnessError) as error:
        raise Refusal(500, "missing", detail=type(error).__name__) from error


def _keep(office: Office, outputs: Mapping[str, str]) -> None:
    """Put the outputs into the shared evidence, so that ``harness fetch`` brings them from any machine."""
    for kind, path in outputs.items():
        if kind in OUTPUTS:
            office.workspace.store.put(Path(path).read_bytes())


def paper(office: Office, actor: Actor, identity: int, kind: str) -> tuple[str, bytes]:
    """Name and bytes of a report or certificate of an application.

    An applicant has them from the confirmation on, people of the center from the report on.

    Raises:
        Refusal: there is none yet, or the actor may not have it.
    """
    with office.desk.acting(actor) as connection:
        current = look(connection, actor, identity)
    early = current.state in ("draft", "plan_review", "testing", "machine_review")
    shown = current.state in ("confirmation", "issuing", "issued") if not actor.staff else not early
    campaign = current.row["campaign"]
    if kind not in OUTPUTS or not campaign or not shown:
        raise Refusal(404, "missing")
    digest = office.workspace.journal.outputs(campaign).get(kind)
    if digest is None:
        raise Refusal(404, "missing")
    path = office.workspace.root / "campaigns" / campaign / OUTPUTS[kind]
    if path.is_file():
        return OUTPUTS[kind], path.read_bytes()
    return OUTPUTS[kind], office.workspace.store.get(digest)
