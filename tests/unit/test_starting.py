"""A new product's folder is good whatever the product is called; a plan is shown whatever lies in the workspace."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness.campaigns.choosing import plan_of
from harness.cli import COMMANDS
from harness.cli.entry import cli
from harness.cli.starting import kinds
from harness.reading.catalogue import Catalogue
from harness.reading.products import named_files
from tests.products import WEB, product


@pytest.mark.parametrize(
    "title",
    [
        "My: product",
        "a, b",
        "{curly}",
        "1.0",
        "yes",
        "# no comment",
        "'quoted' \"twice\"",
        "back\\slash",
        "数据库 db",
        "[list] - item",
    ],
)
def test_any_title_gives_good_definitions(tmp_path: Path, title: str) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "p"), "--name", title])
    assert done.exit_code == 0, done.output
    definitions, _ = plan_of(tmp_path / "p")
    assert definitions.application.name.en == title


@pytest.mark.parametrize("state", ["no workspace", "no journal", "another version's"])
def test_a_plan_needs_no_workspace(tmp_path: Path, state: str) -> None:
    folder = product(tmp_path / "p", WEB)
    workspace = tmp_path / "ws"
    if state != "no workspace":
        workspace.mkdir()
    if state == "another version's":
        with sqlite3.connect(workspace / "journal.sqlite") as connection:
            connection.execute("CREATE TABLE events (seq)")
            connection.execute("PRAGMA user_version = 1")
        connection.close()
    done = CliRunner().invoke(cli, ["plan", str(folder), "--workspace", str(workspace)])
    assert done.exit_code == 0, done.output
    assert ("no times from earlier runs" in done.output) is (state == "another version's")


def test_a_command_that_is_called_here_hides_nothing_from_the_collector() -> None:
    """What this process holds is not the command's to freeze: libraries look for it there at the end of the tests."""
    before = gc.get_freeze_count()
    for name in COMMANDS:
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
    assert (gc.get_freeze_count(), gc.isenabled()) == (before, True)


EXAMPLES = Path(__file__).parents[2] / "examples"
COMPILED = set(kinds()) - {"web"}


@pytest.mark.parametrize("kind", kinds())
def test_the_example_of_each_kind_is_a_product_of_ones_own(tmp_path: Path, kind: str) -> None:
    """Files that a build makes are put there empty: definitions do not look into them."""
    folder = tmp_path / "deep" / "p"
    began = CliRunner().invoke(cli, ["init", str(folder), "--kind", kind, "--name", "My: 产品"])
    assert began.exit_code == 0, began.output
    assert "harness run" in began.output
    assert ("build.sh" in began.output) is (kind in COMPILED)
    application = yaml.safe_load((folder / "application.yaml").read_text())
    made = [folder / name for _, name in named_files(application) if name.startswith("build/")]
    assert bool(made) is (kind in COMPILED)
    assert [path for path in made if path.exists()] == [], "what an example's build made is not copied"
    (folder / "build").mkdir()
    for path in made:
        path.touch()
    if kind == "rpm":  # it runs on a system that its own script makes
        (folder / "targets" / "os").mkdir(parents=True)
        known = (EXAMPLES.parent / "targets" / "os" / "debian-12.yaml").read_text()
        (folder / "targets" / "os" / "practice-rpm.yaml").write_text(known.replace("os: debian-12", "os: practice-rpm"))
    definitions, plan = plan_of(folder, Catalogue.standard(folder))
    assert definitions.application.application == "my"
    assert (definitions.application.name.zh, definitions.application.name.en) == ("My: 产品", "My: 产品")
    assert definitions.matrix.matrix == "my"
    assert plan.cells
    for artifact in definitions.application.artifacts:
        assert artifact.built_by == "sh build.sh"


@pytest.mark.parametrize("kind", kinds())
def test_an_example_says_in_both_languages_what_to_do(kind: str) -> None:
    """A page of some ten lines each, without addresses of a network; its build is a shell script without a mistake."""
    page = (EXAMPLES / kind / "README.md").read_text(encoding="utf-8")
    title, english, chinese = page.partition("\n")[0], *page.rsplit("\n\n", 2)[-2:]
    assert title.startswith("# ")
    assert " · " in title
    assert "harness run" in page
    assert 4 <= english.count("\n") <= 12 or "\n1." in page
    assert chinese.startswith("1. ")
    build = EXAMPLES / kind / "build.sh"
    assert build.exists() is (kind in COMPILED)
    if build.exists():
        assert "sh build.sh" in page
        text = build.read_text(encoding="utf-8")
        assert "://" not in text
        assert subprocess.run(["sh", "-n", str(build)], check=False).returncode == 0


def test_the_sources_of_the_containers_are_those_of_c() -> None:
    own = {path.name: path.read_bytes() for path in (EXAMPLES / "c" / "src").iterdir()}
    for kind in ("docker", "compose"):
        assert {path.name: path.read_bytes() for path in (EXAMPLES / kind / "src").iterdir()} == own
    both = [(EXAMPLES / kind / "src" / "notesd").read_bytes() for kind in ("deb", "rpm")]
    assert both[0] == both[1]


def test_kinds_are_listed_and_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    listed = CliRunner().invoke(cli, ["init", "--kind", "list"])
    assert listed.exit_code == 0
    lines = listed.output.splitlines()
    assert [line.split()[0] for line in lines] == list(kinds())
    assert lines[0].startswith("web"), "the usual kind comes first"
    assert {path.name for path in EXAMPLES.iterdir()} == set(kinds())
    for words in (["init", str(tmp_path / "p"), "--kind", "cobol"], ["init"]):
        refused = CliRunner().invoke(cli, words)
        assert refused.exit_code != 0
        assert "--kind list" in str(refused.exception)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("there", ["build.sh", "src", "application.yaml"])
def test_nothing_of_the_users_is_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).mkdir() if there == "src" else (tmp_path / there).write_text("mine")
    refused = CliRunner().invoke(cli, ["init", str(tmp_path), "--kind", "c"])
    assert f"holds {there} already" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == [there]


@pytest.mark.parametrize(("kind", "warned"), [("c", True), ("python", False)])
def test_a_suite_of_rows_that_nothing_reads_is_a_warning(tmp_path: Path, kind: str, warned: bool) -> None:
    """A product without a database needs no SQL that reads what it stored, and no suite that runs it."""
    folder = tmp_path / "p"
    CliRunner().invoke(cli, ["init", str(folder), "--kind", kind])
    application = yaml.safe_load((folder / "application.yaml").read_text())
    (folder / "build").mkdir()
    for name in [name for _, name in named_files(application) if name.startswith("build/")]:
        (folder / name).touch()
    matrix = folder / "matrix.yaml"
    matrix.write_text(matrix.read_text().replace("compat/http]", "compat/http, compat/database]"))
    assert "compat/database" in matrix.read_text()
    checked = CliRunner().invoke(cli, ["lint", str(folder)])
    assert checked.exit_code == 0, checked.output
    assert ("no case of compat/database can apply: no SQL" in checked.output) is warned
