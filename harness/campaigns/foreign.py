"""Code that a campaign would run on this machine and that does not come with the harness: it is named before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.campaigns.options import RunOptions
from harness.errors import UsageError
from harness.issuing.outcome import Progress
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.plan import FRESH, UPGRADE, Cell, Definitions
from harness.planning.expansion import REACHES
from harness.system.canonical import digest_of
from harness.system.sandbox import obstacle, remedy


@dataclass(frozen=True, kw_only=True)
class ForeignCode:
    """A suite, playbook or class of somebody else: where it lies, and its SHA-256."""

    kind: str
    path: Path
    digest: str


def foreign_code(definitions: Definitions, cells: Sequence[Cell]) -> Iterator[ForeignCode]:
    """All of it that these cells use: suites with code, playbooks of the product, classes that are its resource."""
    used = {name for cell in cells for name in cell.suites}
    for name, suite in definitions.suites.items():
        if name in used and not suite.shipped and RUNNER_KINDS[suite.definition.runner].stage == "product":
            yield ForeignCode(kind="suite", path=suite.folder, digest=suite.digest)
    applications = [definitions.application_of(cell.axes) for cell in cells]
    formers = ((cell.axes, cell.axes.get(UPGRADE, FRESH)) for cell in cells)
    applications += [definitions.former_of(axes, former) for axes, former in formers if former != FRESH]
    resources = {each.resource.readable for each in applications if each.resource is not None}
    for name in sorted(resources):
        inside = {
            file: digest for file, digest in definitions.files.items() if file == name or file.startswith(f"{name}/")
        }
        digest = inside[name] if name in inside else digest_of(inside)
        yield ForeignCode(kind="resource", path=definitions.application_folder / name, digest=digest)
    playbooks = {book.playbook for each in applications for book in each.playbooks}
    for name in sorted(playbooks):
        path = definitions.application_folder / name
        yield ForeignCode(kind="playbook", path=path, digest=definitions.files.get(name, ""))


def name_foreign_code(definitions: Definitions, cells: Sequence[Cell], options: RunOptions, progress: Progress) -> None:
    """Tell what is not the harness's own, and how it runs; and what the product asks for outside of its cells.

    Raises:
        UsageError: there is such code, this machine has no sandbox for it, and it is not trusted.
    """
    for note in dict.fromkeys(note for cell in cells for note in cell.notes if note.startswith(REACHES)):
        progress.note(f"the product {note} / 产品声明需访问单元之外的上述地址")
    foreign = list(foreign_code(definitions, cells))
    if not foreign:
        return
    way = "without a sandbox (--trust-code)" if options.trust_code else "in a sandbox"
    for code in foreign:
        progress.note(f"not the harness's own, runs {way} / 非本工具自带: {code.kind} {code.path} sha256 {code.digest}")
    if not options.trust_code and (why := obstacle()):
        raise UsageError(
            f"this machine has no sandbox for suites, playbooks and classes that are not the harness's own: {why}",
            advice=f"{remedy(why)}, or trust this code as you trust yourself: --trust-code",
        )
