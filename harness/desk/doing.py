"""One way to take a step, whatever belongs to it: pages and API ask here."""

from __future__ import annotations

from dataclasses import dataclass

from harness.desk import applications, certificates, testing
from harness.desk.database import Actor
from harness.desk.office import Office


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a person asks for. ``campaign`` and ``folder`` belong to ``bind_campaign``: one of them is named."""

    action: str
    reason: str = ""
    opinion: str = ""
    campaign: str = ""
    folder: str = ""


def act(office: Office, actor: Actor, identity: int, step: Step) -> None:
    """Take a step, and do what belongs to it.

    Raises:
        Refusal: it is not to be taken.
    """
    match step.action:
        case "bind_campaign" if step.folder:
            testing.submit_folder(office, actor, identity, step.folder)
        case "bind_campaign":
            testing.bind(office, actor, identity, step.campaign)
        case "finish_testing":
            testing.finish(office, actor, identity)
        case "make_draft":
            certificates.make_draft(office, actor, identity)
        case "issue":
            certificates.issue(office, actor, identity)
        case _:
            applications.step(office.desk, actor, identity, step.action, reason=step.reason, opinion=step.opinion)
