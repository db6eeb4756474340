"""What was changed after it was recorded opens no gate, and no output is made of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pytest

from harness.errors import UsageError
from harness.evidence import Workspace
from harness.issuing import rendering
from harness.issuing.outcome import Progress
from harness.issuing.rendering import Rendered, write_outputs
from tests.integration.test_signing import edit, invoke
from tests.integration.test_verify import recorded as recorded  # a fixture
from tests.integration.test_verify import sql


@pytest.fixture
def workspace(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "ws"))


def folder_of(workspace: Path) -> Path:
    (folder,) = (workspace / "campaigns").iterdir()
    return folder


def change_record(workspace: Path) -> None:
    edit(folder_of(workspace) / "campaign.json", b'"detail": ""', b'"detail": "x"')


def change_tables(workspace: Path) -> None:
    sql(workspace, "UPDATE attempts SET message = 'all good'")


def change_events(workspace: Path) -> None:
    sql(workspace, "UPDATE events SET data = replace(data, '\"pass\"', '\"skip\"') WHERE kind = 'observation'")


CHANGES = {"record": change_record, "tables": change_tables, "events": change_events}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_record_closes_the_gate(workspace: Path, change: Callable[[Path], None]) -> None:
    record = folder_of(workspace) / "campaign.json"
    elsewhere = workspace.parent / "elsewhere"
    assert invoke("gate", "--workspace", workspace).exit_code == 0
    assert invoke("gate", record, "--workspace", elsewhere).exit_code == 0
    change(workspace)
    for words in (("--workspace", workspace), (record, "--workspace", elsewhere), (record, "--workspace", workspace)):
        done = invoke("gate", *words, "--format", "json")
        assert done.exit_code == 1, done.output
        assert "does not verify" in json.loads(done.stdout)["findings"][0]["reason"]
    good = Path(shutil.copy(record, workspace.parent / "campaign.json"))
    done = invoke("gate", good, "--baseline", record, "--workspace", elsewhere)
    assert done.exit_code == 1
    assert "the baseline does not verify" in done.stderr + done.stdout


@pytest.mark.parametrize("name", ["tables", "events"])
def test_nothing_is_rendered_or_exported_of_a_changed_journal(workspace: Path, name: str) -> None:
    identity = folder_of(workspace).name
    CHANGES[name](workspace)
    out = workspace.parent / "out"
    for words in (["report"], *(["export", what, "--out", out] for what in ("xlsx", "compatibility", "sarif"))):
        done = invoke(*words, "--workspace", workspace)
        assert isinstance(done.exception, UsageError), done.output
        assert "is not what was recorded, and nothing is made of it" in done.exception.message
    assert not out.exists()
    assert isinstance(invoke("diff", identity, identity, "--workspace", workspace).exception, UsageError)
    shown = json.loads(invoke("show", "--workspace", workspace, "--format", "json").stdout)
    assert {"tables": "tables follow", "events": "chain of events"}[name] in shown["unverified"]


def test_show_names_the_outputs_by_the_keys_of_run(workspace: Path) -> None:
    """Of one campaign before and after it is certified; a page and a PDF of one stem are two outputs."""
    shown = json.loads(invoke("show", "--workspace", workspace, "--format", "json").stdout)["outputs"]
    assert shown.keys() == {"json", "junit", "html", "markdown", "report", "certificate"}
    (folder_of(workspace) / "report.html").unlink()
    again = json.loads(invoke("report", "--workspace", workspace, "--format", "json").stdout)["outputs"]
    assert again == shown
    assert {Path(path).name for path in shown.values()} == {
        path.name for path in folder_of(workspace).iterdir() if path.suffix
    }


def test_a_loose_record_is_named_as_such(workspace: Path, tmp_path: Path) -> None:
    loose = Path(shutil.copy(folder_of(workspace) / "campaign.json", tmp_path / "campaign.json"))
    done = invoke("gate", loose, "--workspace", tmp_path / "none")
    assert done.exit_code == 0
    assert "nothing here can show that it was not changed" in done.stdout + done.stderr
    assert "nothing here can show" not in invoke("gate", loose, "--workspace", workspace).output


def test_outputs_of_a_record_that_does_not_verify_say_so_on_every_page(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run is rendered in any case: what was seen must not be lost."""
    change_tables(workspace)
    place, identity = Workspace(workspace), folder_of(workspace).name
    seen: list[Rendered] = []

    def write(folder: Path, rendered: Rendered) -> dict[str, str]:
        seen.append(rendered)
        return write_outputs(folder, rendered)

    monkeypatch.setattr(rendering, "write_outputs", write)
    finished = rendering.finish(identity, place, Progress(), close=False)
    assert "certificate" not in finished.outputs
    files = seen[0].files
    for kind in ("markdown", "html"):
        assert "记录未通过核验" in files[kind].decode(), kind
    assert json.loads(files["json"])["unverified"]
    assert b'type="unverified"' in files["junit"]
    for page in pypdfium2.PdfDocument(finished.outputs["report"]):
        assert "do not rely on it" in page.get_textpage().get_text_bounded()
    loose = Path(shutil.copy(finished.outputs["json"], workspace.parent / "campaign.json"))
    assert invoke("gate", loose, "--workspace", workspace.parent / "none").exit_code == 1
