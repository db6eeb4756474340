"""Renders a recorded campaign: record, JUnit, reports, and a certificate where one may be issued."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.certify.envelopes import SIGNED_FILES, Signing
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import row_of
from harness.evidence.store import disk_errors
from harness.issuing.integrity import Step, check_campaigns, look
from harness.issuing.outcome import Finished, Progress
from harness.issuing.papers import VERIFIER, Office, Papers
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
#: Where certificates are kept that were replaced, below the campaign's folder.
FORMER = "former"
#: Where a certified campaign is rendered again, below the workspace.
DRAFTS = "drafts"
#: What of these a signature speaks of.
SIGNED = ("json", "junit", "markdown", "html", "report", "certificate")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Outputs by kind, and their SHA-256."""

    files: dict[str, bytes]
    digests: dict[str, str]


def finish(
    identity: str,
    workspace: Workspace,
    progress: Progress,
    *,
    close: bool,
    interrupted: bool = False,
    signing: Signing | None = None,
    office: Office | None = None,
    presentation: Presentation | None = None,
    token: int = 0,
) -> Finished:
    """Render what is recorded; with ``close`` the verdict goes into the journal, with ``signing`` it is signed.
    ``token`` is that of the claim on the campaign, where it is closed.

    What was signed before stays as it is: without ``signing`` the outputs are a draft in a folder of their own, with it
    the former certificate is kept in ``former/``. A record that does not verify is marked as such in every output.

    Raises:
        UsageError: there is no such campaign, or none may be certified that is to be signed.
        DefinitionError: the issuer's profile, a template or the wording is wrong.
        InfrastructureError: the outputs cannot be written.
    """
    view = view_of(identity, workspace)
    presentation = presentation or Presentation.standard()
    papers = Papers.of(view, presentation, office or Office(), signing)
    refused = papers.decision.kind is None
    if refused and signing is not None:
        raise UsageError(
            f"no certificate may be issued for campaign {identity}: {papers.decision.reasons}",
            advice="see: harness show",
        )
    progress.note("rendering the report" if refused else "rendering the report and the certificate")
    rendered = render(papers, presentation)
    folder = workspace.folder(identity)
    if signing is None and is_certified(folder):
        return _draft(identity, workspace, papers, rendered, progress, interrupted=interrupted)
    keep_former(folder)
    outputs = write_outputs(folder, rendered)
    (folder / VERIFIER).unlink(missing_ok=True)  # an older harness put it here; it is published apart
    if workspace.shared:  # whoever fetches it has not this machine's folder
        for path in outputs.values():
            workspace.store.put_file(Path(path))
    if close:
        workspace.journal.close_campaign(identity, view.verdict, rendered.digests, token=token)
    else:
        workspace.journal.rendered(identity, rendered.digests)
    return Finished(view=view, outputs=outputs, interrupted=interrupted, uncertified=papers.decision.reasons)


def render(papers: Papers, presentation: Presentation) -> Rendered:
    """Every output in memory: what fails halfway leaves on the disk what stood there before.

    Raises:
        DefinitionError, InfrastructureError, UsageError: see ``Papers.report``.
    """
    view = papers.view
    files: dict[str, bytes] = {
        "json": strict_json(full_record(view), indent=1, sort_keys=True).encode(),
        "junit": render_junit(view),
        "markdown": render_markdown(view, presentation.wording()).encode(),
        "html": render_html(view, presentation),
    }
    digests = {kind: hashlib.sha256(data).hexdigest() for kind, data in files.items()}

    def add(kind: str, data: bytes) -> None:
        files[kind] = data
        digests[kind] = hashlib.sha256(data).hexdigest()

    add("report", papers.report(digests))
    if papers.decision.kind is not None:
        predicate = papers.predicate()
        add("certificate", papers.certificate(predicate, digests))
        if papers.signing is not None:
            signed = {OUTPUTS[kind]: digests[kind] for kind in SIGNED}
            for kind, text in papers.signing.envelopes(view, signed, predicate).items():
                add(kind, text)
            if papers.profile.timestamp:
                from harness.certify.stamps import stamped  # with its libraries it takes a while to be imported

                add("stamp", stamped(files["adaptation"], papers.profile.timestamp))
    return Rendered(files=files, digests=digests)


def write_outputs(folder: Path, rendered: Rendered) -> dict[str, str]:
    """Write the outputs; gives their paths. What an earlier rendering had and this one has not is removed."""
    names = {**OUTPUTS, **SIGNED_FILES}
    for kind, name in names.items():
        if kind not in rendered.files:
            (folder / name).unlink(missing_ok=True)
    (folder / PROOF).unlink(missing_ok=True)
    outputs: dict[str, str] = {}
    for kind, data in rendered.files.items():
        path = folder / names[kind]
        with disk_errors(f"writing {path}"):
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(data)
            part.replace(path)
        outputs[kind] = str(path)
    return outputs


def outputs_in(folder: Path) -> dict[str, str]:
    """Kind -> path of every output that lies in a campaign's folder: the same keys as ``write_outputs`` gives."""
    return {kind: str(folder / name) for kind, name in {**OUTPUTS, **SIGNED_FILES}.items() if (folder / name).is_file()}


def is_certified(folder: Path) -> bool:
    """Whether something in a campaign's folder was signed or entered into a register."""
    return any((folder / name).exists() for name in (*SIGNED_FILES.values(), PROOF))


def keep_former(folder: Path) -> None:
    """Before a certificate is issued anew: keep the one that stands, whole, in ``former/1``, ``former/2``, …"""
    if not is_certified(folder):
        return
    number = next(n for n in itertools.count(1) if not (folder / FORMER / str(n)).exists())
    target = folder / FORMER / str(number)
    with disk_errors(f"writing {target}"):
        target.mkdir(parents=True)
        for name in (*OUTPUTS.values(), *SIGNED_FILES.values(), PROOF, VERIFIER):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, target / name)


def _draft(
    identity: str, workspace: Workspace, papers: Papers, rendered: Rendered, progress: Progress, *, interrupted: bool
) -> Finished:
    """Outputs beside those that were signed, which were handed out and must stay what they are."""
    folder = workspace.root / DRAFTS / identity
    with disk_errors(f"making {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    outputs = write_outputs(folder, rendered)
    workspace.journal.event("draft-rendered", {"outputs": rendered.digests}, identity)
    progress.note(
        f"campaign {identity} is certified: its signed files stay as they are; this is a draft, in {folder} / "
        f"已签发的文件保持不变，本次渲染为草稿"
    )
    return Finished(view=papers.view, outputs=outputs, interrupted=interrupted, uncertified=papers.decision.reasons)


def verified_view(identity: str, workspace: Workspace) -> CampaignView:
    """The campaign as recorded, where the record verifies.

    Raises:
        UsageError: there is no such campaign, or its record does not verify: nothing is made of it.
        InfrastructureError: evidence is missing or was changed.
    """
    view = view_of(identity, workspace)
    if view.unverified:
        raise UsageError(
            f"campaign {identity} is not what was recorded, and nothing is made of it: {view.unverified}",
            advice="restore the workspace from a copy, or run the campaign again; see: harness verify",
        )
    return view


def view_of(identity: str, workspace: Workspace) -> CampaignView:
    """The campaign as recorded; ``unverified`` says whether that is what the events say.

    Raises:
        UsageError: there is no such campaign.
        InfrastructureError: evidence is missing or was changed.
    """
    row_of(workspace.journal, identity)
    with workspace.journal.snapshot() as reader:  # what is shown is what was looked at
        view = build_view(
            row_of(reader, identity),
            reader.attempts(identity),
            reader.observations(identity),
            reader.files(identity),
            workspace.store.get,
            reader.head(identity),
        )
        return replace(view, unverified=_faults(look(reader, workspace.store, [identity])))


def distrust(identity: str, workspace: Workspace) -> str:
    """Why the record of a campaign cannot be relied on; empty where it verifies."""
    return _faults(check_campaigns(workspace, [identity]))


def _faults(steps: Sequence[Step]) -> str:
    return "; ".join(f"{step.name}: {step.detail}" for step in steps if not step.ok)
