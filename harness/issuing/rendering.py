"""Renders what is recorded: record, JUnit, reports, and a certificate where one may be issued."""

from __future__ import annotations

import hashlib
import shutil

from harness.certify.envelopes import ENVELOPES, Signing
from harness.errors import UsageError
from harness.evidence import Journal, Workspace
from harness.evidence.store import disk_errors
from harness.issuing.outcome import Finished, Progress
from harness.issuing.papers import Office, Papers
from harness.issuing.recorded import recorded
from harness.model.records import CampaignRow
from harness.model.view import CampaignView
from harness.presentation import Presentation
from harness.register.register import PROOF
from harness.report import build_view, full_record, render_html, render_junit, render_markdown
from harness.system.printable import strict_json

#: Kind of an output -> its file in the campaign's folder.
OUTPUTS = {
    "json": "campaign.json",
    "junit": "junit.xml",
    "html": "report.html",
    "markdown": "summary.md",
    "report": "report.pdf",
    "certificate": "certificate.pdf",
}
#: Checks a signed result with openssl alone; goes beside it.
VERIFIER = "verify.sh"
#: What of these a signature speaks of.
SIGNED = ("json", "html", "report", "certificate")


def finish(
    identity: str,
    workspace: Workspace,
    progress: Progress,
    *,
    close: bool,
    interrupted: bool = False,
    signing: Signing | None = None,
    office: Office | None = None,
) -> Finished:
    """Render what is recorded; with ``close`` the verdict goes into the journal, with ``signing`` it is signed.

    Raises:
        UsageError: there is no such campaign, or none may be certified that is to be signed.
        DefinitionError: the issuer's profile, a template or the wording is wrong.
        InfrastructureError: the outputs cannot be written.
    """
    view = view_of(identity, workspace)
    folder = workspace.folder(identity)
    presentation = Presentation.standard()
    distrust = "; ".join(f"{step.name}: {step.detail}" for step in recorded(workspace, [identity]) if not step.ok)
    papers = Papers.of(view, presentation, office or Office(), signing, distrust)
    made: dict[str, bytes] = {}  # written when all of it is there: what fails halfway leaves what stood before
    digests: dict[str, str] = {}

    def make(kind: str, data: bytes) -> None:
        made[kind] = data
        digests[kind] = hashlib.sha256(data).hexdigest()

    refused = papers.decision.kind is None
    if refused and signing is not None:
        raise UsageError(
            f"no certificate may be issued for campaign {identity}: {papers.decision.told}", advice="see: harness show"
        )
    make("json", strict_json(full_record(view), indent=1, sort_keys=True).encode())
    make("junit", render_junit(view))
    make("markdown", render_markdown(view, presentation.wording()).encode())
    make("html", render_html(view, presentation))
    progress.note("rendering the report" if refused else "rendering the report and the certificate")
    make("report", papers.report(digests))
    if not refused:
        predicate = papers.predicate()
        make("certificate", papers.certificate(predicate, digests))
        if signing is not None:
            files = {OUTPUTS[kind]: digests[kind] for kind in SIGNED}
            for kind, text in signing.envelopes(view, files, predicate).items():
                make(kind, text)
    for name in (*ENVELOPES.values(), PROOF, *((OUTPUTS["certificate"],) if refused else ())):
        (folder / name).unlink(missing_ok=True)  # one of an earlier state of this campaign would be wrong now
    outputs: dict[str, str] = {}
    for kind, data in made.items():
        path = folder / {**OUTPUTS, **ENVELOPES}[kind]
        with disk_errors(f"writing {path}"):
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(data)
            part.replace(path)
        outputs[kind] = str(path)
    if signing is not None:
        with disk_errors(f"writing {folder / VERIFIER}"):
            shutil.copyfile(presentation.path(VERIFIER), folder / VERIFIER)
    if close:
        workspace.journal.close_campaign(identity, view.verdict, digests)
    else:
        workspace.journal.event("campaign-rendered", {"outputs": digests}, identity)
    return Finished(view=view, outputs=outputs, interrupted=interrupted, uncertified=papers.decision.told)


def view_of(identity: str, workspace: Workspace) -> CampaignView:
    """The campaign as recorded.

    Raises:
        UsageError: there is no such campaign.
        InfrastructureError: evidence is missing or was changed.
    """
    row = row_of(workspace.journal, identity)
    journal = workspace.journal
    return build_view(
        row,
        journal.attempts(identity),
        journal.observations(identity),
        journal.files(identity),
        workspace.store.get,
        journal.head(),
    )


def latest(workspace: Workspace) -> str:
    """Id of the newest campaign.

    Raises:
        UsageError: there is none.
    """
    rows = workspace.journal.campaigns()
    if not rows:
        raise UsageError(f"no campaign in {workspace.root}", advice="begin one with: harness run FOLDER")
    return rows[0].id


def row_of(journal: Journal, identity: str) -> CampaignRow:
    row = journal.campaign(identity)
    if row is None:
        known = ", ".join(one.id for one in journal.campaigns()[:5]) or "none"
        raise UsageError(f"no campaign {identity!r} here; known: {known}", advice="see: harness list")
    return row
