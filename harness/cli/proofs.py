"""What ``scan --prove`` does: statements are given to the servers of databases.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.cli.output import say
from harness.cli.shared import databases_of
from harness.endpoints.inventory import fitting
from harness.errors import UsageError
from harness.execution.proving import prove
from harness.model.finding import ScanResult, Targets


def proven(result: ScanResult, databases: Path | None, targets: Targets) -> tuple[ScanResult, bool]:
    """The result with what servers answered, and whether one of them could not be asked.

    Raises:
        UsageError: no server of the inventory is a declared database.
    """
    inventory = databases_of(databases)
    servers = [fitting(inventory, database, {}) for database in targets.databases.values()]
    chosen = [each[0] for each in servers if each]
    if not chosen:
        raise UsageError(
            "--prove: no server in databases.yaml is one of the declared databases",
            advice="name one there (docs/guide/databases.md), and its database with --target database=NAME",
        )
    rows, proofs = prove(result.sql, chosen)
    for each in proofs:
        name = f"{each.database}:{each.mode}" if each.mode else each.database
        say(
            f"{name}, {each.server}: 已接受 accepted {each.accepted}, 已拒绝 refused {each.refused}, "
            f"未定 open {each.open}, 未发送 not sent {each.not_sent}" + (f"; {each.trouble}" if each.trouble else ""),
            err=True,
        )
    return replace(result, sql=rows), any(each.trouble for each in proofs)
