"""Statements of a server's log: which are the product's, and what of that is not known."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.capturing import Captured, begin_capture, captured, end_capture
from harness.errors import InfrastructureError
from harness.model.definitions import Database
from harness.model.definitions.recipes import CaptureRecipe
from harness.model.templating import render
from harness.reading.parsing import parse
from harness.system.process import Completed

TARGETS = Path(__file__).parents[2] / "targets" / "database"
LOG = """2026-11-26 LOG:  database system is ready
xc|app@app|harness|2026-11-26 10:00:00 UTC LOG:  statement: SELECT 'of the harness'
xc|app@app|PostgreSQL JDBC Driver|2026-11-26 10:00:00 UTC LOG:  execute <unnamed>: SELECT a FROM t
\tWHERE b = $1
\t LIMIT 3
xc|app@app|PostgreSQL JDBC Driver|2026-11-26 10:00:00 UTC DETAIL:  parameters: $1 = '密'
xc|app@app||2026-11-26 10:00:00 UTC LOG:  statement: INSERT INTO a VALUES ('; ''');
xc|app@app||2026-11-26 10:00:00 UTC ERROR:  syntax error at or near "DUPLICATE" at character 9
xc|app@app||2026-11-26 10:00:00 UTC STATEMENT:  INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE b = 2
xc|app@app||2026-11-26 10:00:00 UTC LOG:  statement: INSERT INTO a VALUES ('; ''');
xc|postgres@postgres|psql|2026-11-26 10:00:00 UTC LOG:  statement: ALTER SYSTEM RESET log_statement
xc|other@app|psql|2026-11-26 10:00:00 UTC LOG:  statement: SELECT 'of another user'
"""


class Server:
    """A machine whose commands run here, below a folder; the outer edge."""

    name = "d"

    def __init__(self, recipe: CaptureRecipe | None, *, begun: bool = True) -> None:
        self.definition: Any = SimpleNamespace(capture=recipe)
        self.machine: Any = SimpleNamespace(run=lambda command: Completed(rc=0 if begun else 1))
        self.commands: list[str] = []

    def operate(self, command: str, seconds: float) -> Completed:
        self.commands.append(command)
        shown = render(command, {"db": {"user": "app", "name": "app"}}, where="t")
        ran = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=False, timeout=60)
        return Completed(rc=ran.returncode, out=ran.stdout, err=ran.stderr)


def recipe(**changes: str) -> CaptureRecipe:
    return CaptureRecipe.model_validate({"begin": "true", "end": "true", "read": "true", **changes})


def test_a_log_of_postgresql_gives_the_products_statements_and_no_others(tmp_path: Path) -> None:
    log = tmp_path / "服务器 log"
    log.write_text(LOG)
    known = parse(TARGETS / "postgresql.yaml", Database).capture
    assert known is not None
    read = known.read.replace("/var/log/postgresql/harness.log", f"'{log}'")
    server: Any = Server(recipe(read=read))
    seen = captured(server)
    assert seen is not None
    assert not seen.cut
    assert list(seen.statements) == [
        "SELECT a FROM t\nWHERE b = $1\n LIMIT 3",
        "INSERT INTO a VALUES ('; ''')",
        "INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE b = 2",
    ]


@pytest.mark.parametrize("server", [Server(None), Server(recipe(), begun=False)])
def test_what_is_not_captured_is_not_taken_for_no_statement(server: Any) -> None:
    assert captured(server) is None
    end_capture(server)
    assert server.commands == []


def test_a_product_that_sent_nothing_sent_nothing() -> None:
    server: Any = Server(recipe(read="echo ';'"))
    assert captured(server) == Captured(statements=(), cut=False)


def test_a_log_that_was_not_read_whole_says_so_and_gives_no_half_a_statement() -> None:
    server: Any = Server(
        recipe(read="printf 'SELECT 1;\\nSELECT [... 9 bytes cut by the harness ...] b;\\nSELECT 3;\\n'")
    )
    assert captured(server) == Captured(statements=("SELECT 1", "SELECT 3"), cut=True)


def test_a_log_that_cannot_be_read_is_trouble_of_the_laboratory() -> None:
    server: Any = Server(recipe(begin="echo no right >&2; false", read="exit 2"))
    with pytest.raises(InfrastructureError, match=r"did not give the statements .*exit 2"):
        captured(server)
    with pytest.raises(InfrastructureError, match=r"did not log statements .*no right"):
        begin_capture(server)
