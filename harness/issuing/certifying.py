"""Certifies a campaign anew, and checks that a workspace still holds what the campaign recorded."""

from __future__ import annotations

import hashlib

from harness.certify.envelopes import ENVELOPES, SIGNED_FILES, Signing
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import row_of
from harness.issuing.integrity import Step, check_campaigns, check_workspace
from harness.issuing.outcome import Finished, Progress
from harness.issuing.papers import Office
from harness.issuing.rendering import OUTPUTS, finish, is_certified
from harness.presentation import Presentation
from harness.register.register import PROOF, Register, one_line
from harness.signing.dsse import Envelope
from harness.system.canonical import read_json


def certify(
    identity: str,
    workspace: Workspace,
    signing: Signing,
    progress: Progress,
    register: Register | None = None,
    office: Office | None = None,
    presentation: Presentation | None = None,
) -> Finished:
    """Render a campaign again and sign its statements; with ``register``, enter them into the issuer's log.

    Raises:
        UsageError: there is no such campaign, it is not finished, no certificate may be issued for it, or what the
            workspace holds is not what was recorded.
    """
    row = row_of(workspace.journal, identity)
    if row.finished is None:
        raise UsageError(f"campaign {identity} is not finished", advice=f"first: harness resume {identity}")
    if bad := [step for step in verify(workspace, identity) if not step.ok]:
        doubts = "; ".join(f"{step.name}: {step.detail}" for step in bad)
        advice = "run the campaign again"
        if all(step.name == "reports" for step in bad):
            certified = is_certified(workspace.folder(identity))
            advice = "restore them from a copy" if certified else "render them again from the records: harness report"
        raise UsageError(
            f"the workspace is not what was recorded, and nothing of it is signed: {doubts}", advice=advice
        )
    amends = office.commission.amends if office is not None else None
    if register is not None:
        register.origin(signing)  # before anything is rendered
        if amends is not None and not register.knows(amends.number):
            raise UsageError(
                f"the register knows no certificate {amends.number}, which this one would replace",
                advice="correct `amends` in the commission",
            )
    finished = finish(
        identity, workspace, progress, close=False, signing=signing, office=office, presentation=presentation
    )
    if register is not None:
        folder = workspace.folder(identity)
        envelope = (folder / ENVELOPES["adaptation"]).read_bytes()
        number = read_json(Envelope.read(envelope.decode()).payload)["predicate"]["number"]
        proof = register.enter(number, envelope, signing)
        (folder / PROOF).write_text(proof.text(), encoding="utf-8")
        if amends is not None:  # only now is there something in its place
            register.set_state(amends.number, "superseded", one_line(amends.because.en), number, signing)
    return finished


def verify(workspace: Workspace, identity: str | None = None) -> list[Step]:
    """Look at the chain of events, at the tables that follow from it, at evidence and outputs: of one campaign, or of
    everything that the workspace recorded.

    The chain shows an event that was changed, removed or put elsewhere. It is no signature: who can write the file
    can make another chain. Its last digest, which every report carries, ties it to what was handed out.
    """
    journal = workspace.journal
    steps = check_workspace(workspace) if identity is None else check_campaigns(workspace, [identity])
    bad: list[str] = []
    looked = 0
    left_out = 0
    for campaign in [identity] if identity is not None else [row.id for row in journal.campaigns()]:
        if campaign != identity and workspace.alive(campaign):
            left_out += 1  # its worker may have written a file and not yet noted it
            continue
        for kind, digest in journal.outputs(campaign).items():
            looked += 1
            path = workspace.root / "campaigns" / campaign / {**OUTPUTS, **SIGNED_FILES}.get(kind, kind)
            if not path.is_file():
                bad.append(f"{path.name} of {campaign} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                bad.append(f"{path.name} of {campaign} is not what was rendered")
    running = f"; left out, because they run: {left_out}" if left_out else ""
    steps.append(Step(name="reports", ok=not bad, detail=("; ".join(bad[:5]) or f"{looked} files") + running))
    return steps
