"""The test of an application: its campaign, where its cells stand, and what the machine sees before people do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.campaigns import watching
from harness.campaigns.options import RunOptions
from harness.center.submitting import submit
from harness.desk.applications import Application, look, take
from harness.desk.database import Actor
from harness.desk.office import Office
from harness.desk.refusing import Refusal
from harness.errors import DefinitionError, UsageError
from harness.issuing.rendering import view_of
from harness.model.results import Verdict

_CAMPAIGN = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def bind(office: Office, actor: Actor, identity: int, campaign: str) -> None:
    """Bind a campaign of the center to an application that is tested.

    Raises:
        Refusal: there is no such campaign, it is another application's, or the actor may not.
    """
    campaign = campaign.strip()
    if not _CAMPAIGN.match(campaign) or office.workspace.journal.campaign(campaign) is None:
        raise Refusal(422, "form", faults={"campaign": "campaign_unknown"})
    with office.desk.acting(actor) as connection:
        take(connection, actor, identity, "bind_campaign", campaign=campaign)


def folders(office: Office) -> list[str]:
    """Names of the folders with a matrix that a tester may submit."""
    base = office.definitions
    return sorted(path.parent.name for path in base.glob("*/matrix.yaml")) if base is not None else []


def submit_folder(office: Office, actor: Actor, identity: int, name: str) -> str:
    """Put the matrix of a folder into the queue of the center, and bind its campaign; gives the campaign's id.

    Raises:
        Refusal: there is no such folder, its definitions are wrong, or the actor may not.
    """
    if name not in folders(office):
        raise Refusal(422, "form", faults={"folder": "choice"})
    with office.desk.acting(actor) as connection:
        current = look(connection, actor, identity)
        if not any(step.action == "bind_campaign" for step in current.possible):
            raise Refusal(403, "state" if "tester" in actor.roles else "role")
    try:
        folder = Path(office.definitions or ".", name)
        customer = str(current.row["vendor"])
        campaign = submit(folder, office.center, RunOptions(), office.catalogue, customer=customer)
    except (DefinitionError, UsageError) as error:
        raise Refusal(422, "form", faults={"folder": "definitions"}, detail=str(error)[:2000]) from error
    bind(office, actor, identity, campaign)
    return campaign


def cells(office: Office, campaign: str) -> dict[str, Any]:
    """Where a campaign stands: ``state``, ``counts`` and ``cells``, from the journal; ``missing`` where it is gone."""
    try:
        return watching.status_of(campaign, office.workspace)
    except UsageError:
        return {"campaign": campaign, "state": "missing", "counts": {}, "cells": []}


def finish(office: Office, actor: Actor, identity: int) -> list[str]:
    """End the tests: the machine looks whether everything is there, and passes it on, or back with what is missing.

    Gives what is missing, in words of the list ``machine``; empty where it went on.

    Raises:
        Refusal: the actor may not, or no campaign is bound.
    """
    with office.desk.acting(actor) as connection:
        current = look(connection, actor, identity)
        if current.state == "testing" and not current.row["campaign"]:
            raise Refusal(422, "form", faults={"campaign": "needed"})
        take(connection, actor, identity, "finish_testing")
        findings = incomplete(office, current)
        if findings:
            take(connection, actor, identity, "machine_return", reason="machine", opinion="\n".join(findings))
        else:
            take(connection, actor, identity, "machine_pass")
    return findings


def incomplete(office: Office, application: Application) -> list[str]:
    """What a machine can see that is missing: each is a key of a sentence, and a detail behind a colon."""
    row = office.workspace.journal.campaign(str(application.row["campaign"]))
    if row is None or not row.finished:
        return ["campaign_open"]
    view = view_of(row.id, office.workspace)
    findings = []
    if view.unverified:
        findings.append(f"record_broken: {view.unverified[:300]}")
    if view.application["version"] != application.form.version:
        findings.append(f"version_differs: {view.application['version']} ≠ {application.form.version}")
    names = view.application["name"]
    if application.form.product not in (names["zh"], names["en"], view.application["application"]):
        findings.append(f"product_differs: {names['zh']} ≠ {application.form.product}")
    findings += [
        f"cell_open: {cell.id}" for cell in view.cells if cell.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_TESTED)
    ]
    for platform in application.form.platforms:
        wanted = {axis: value for axis, value in platform.model_dump().items() if value}
        if not any(wanted.items() <= cell.axes.items() for cell in view.cells):
            findings.append(f"platform_untested: {', '.join(wanted.values())}")
    if not office.workspace.journal.outputs(row.id):
        findings.append("report_missing")
    return findings[:50]
