"""JUnit XML: one testsuite a cell, another for its static rules; failure, error and skipped are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from harness.model.results import Result
from harness.model.view import CampaignView, CaseView, CellView
from harness.system.printable import number_text, visible


def render_junit(view: CampaignView) -> bytes:
    """The campaign as JUnit; a case that never ran is an error, never a pass."""
    root = ET.Element("testsuites", name=view.matrix)
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for cell in view.cells:
        parts = [(cell.id, cell.short, cell.fidelity.value if cell.fidelity is not None else "none", cell.ran)]
        if cell.scanned:  # files were read for them and nothing ran: a reader must not take one for the other
            parts.append((f"{cell.id} (static)", f"{cell.short}-static", "static", cell.scanned))
        for name, identity, fidelity, cases in parts:
            count = _suite(ET.SubElement(root, "testsuite", name=name, id=identity), cell, fidelity, cases)
            totals = {key: totals[key] + count[key] for key in totals}
    if view.unverified:
        suite = ET.SubElement(root, "testsuite", name="record", tests="1", failures="0", errors="1", skipped="0")
        element = ET.SubElement(suite, "testcase", classname=view.id, name="the record verifies", time="0")
        ET.SubElement(element, "error", type="unverified", message=view.unverified)
        totals = {**totals, "tests": totals["tests"] + 1, "errors": totals["errors"] + 1}
    for key, number in totals.items():
        root.set(key, str(number))
    _clean(root)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _suite(suite: ET.Element, cell: CellView, fidelity: str, cases: Sequence[CaseView]) -> dict[str, int]:
    """Fill the testsuite of a cell with these cases; gives its counts."""
    count = {
        "tests": len(cases),
        "failures": sum(c.result is Result.FAIL for c in cases),
        "errors": sum(c.result in (Result.ERROR, Result.MISS) for c in cases),
        "skipped": sum(c.result in (Result.SKIP, Result.RECORDED) for c in cases),
    }
    suite.set("time", f"{sum(c.seconds for c in cases):.3f}")
    if cell.attempts:
        suite.set("timestamp", cell.attempts[-1].started[:19])
    for key, number in count.items():
        suite.set(key, str(number))
    properties = ET.SubElement(suite, "properties")
    facts = {
        **cell.axes,
        "verdict": cell.verdict.value,
        "attempts": str(len(cell.attempts)),
        "fidelity": fidelity,
    }
    for key, value in facts.items():
        ET.SubElement(properties, "property", name=key, value=value)
    for case in cases:
        _case(suite, cell.id, case)
    return count


def _case(suite: ET.Element, cell: str, case: CaseView) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        classname=f"{cell}.{case.suite}",
        name=f"{case.id} {case.title.en}",
        time=f"{case.seconds:.3f}",
    )
    detail = case.detail
    first = detail.splitlines()[0][:300] if detail else ""
    if case.result is Result.FAIL:
        ET.SubElement(element, "failure", type="product", message=first).text = detail
    elif case.result in (Result.ERROR, Result.MISS):
        kind = f"{case.result.value}/{case.cause.value if case.cause is not None else 'unknown'}"
        ET.SubElement(element, "error", type=kind, message=first).text = detail
    elif case.result is Result.SKIP:
        reason = case.skip_reason.value if case.skip_reason is not None else ""
        ET.SubElement(element, "skipped", message=first if first.startswith(reason) else f"{reason}: {first}")
    elif case.result is Result.RECORDED:  # JUnit has no word for it, and "passed" would claim too much
        ET.SubElement(element, "skipped", message=f"recorded: {first}")
    if case.measurements:
        text = "\n".join(
            f"{m.name} = {number_text(m.value)}{'' if m.unit == '1' else ' ' + m.unit}" for m in case.measurements
        )
        ET.SubElement(element, "system-out").text = text


def _clean(root: ET.Element) -> None:
    """Write what XML 1.0 cannot carry in ASCII, wherever it stands: names and units come from tests, as details do."""
    for element in root.iter():
        element.attrib.update({key: visible(value) for key, value in element.attrib.items()})
        element.text = visible(element.text) if element.text is not None else None
