"""Whether the journal is what was written: the chain of its events, and the tables that follow from them."""

from __future__ import annotations

import json
from typing import Any

from harness.evidence.journal import GENESIS, Journal, observation_row
from harness.model.results import State
from harness.system.canonical import digest_of


def broken_at(journal: Journal) -> int | None:
    """Number of the first event that does not fit the chain, or None."""
    previous = GENESIS
    for row in journal.events():
        content = {key: getattr(row, key) for key in ("time", "campaign", "cell", "number", "kind", "data", "previous")}
        if row.previous != previous or row.digest != digest_of(content):
            return row.seq
        previous = row.digest
    return None


def differences(journal: Journal) -> list[str]:
    """Where the tables do not say what the events say; empty where they agree."""
    told: dict[str, dict[Any, Any]] = {"campaign": {}, "attempt": {}, "observation": {}, "file": {}}
    for event in journal.events():
        data, key = json.loads(event.data), (event.campaign, event.cell, event.number)
        match event.kind:
            case "campaign-opened":
                told["campaign"][event.campaign] = (data["plan"], data["snapshot"], None)
            case "campaign-closed":
                opened = told["campaign"].get(event.campaign, ("", "", None))
                told["campaign"][event.campaign] = (*opened[:2], data["verdict"])
            case "attempt-opened":
                told["attempt"][key] = (State.QUEUED.value, None, None, "", "")
            case "state":
                told["attempt"][key] = (data["state"], None, None, "", "")
            case "attempt-closed":
                told["attempt"][key] = (
                    State.DONE.value,
                    data["verdict"],
                    data["cause"],
                    data["message"],
                    data["facts"],
                )
            case "observation":
                told["observation"][(*key, data["suite"], data["case"])] = data
            case "file":
                told["file"].setdefault(key, []).append((data["name"], data["sha256"], data["size"]))
    stands: dict[str, dict[Any, Any]] = {"campaign": {}, "attempt": {}, "observation": {}, "file": {}}
    for row in journal.campaigns():
        stands["campaign"][row.id] = (row.plan_digest, digest_of(row.plan), row.verdict)
        for a in journal.attempts(row.id):
            closed = a.state is State.DONE
            stands["attempt"][row.id, a.cell, a.number] = (
                a.state.value,
                a.verdict.value if a.verdict is not None else None,
                a.cause.value if a.cause is not None else None,
                a.message,
                digest_of(a.facts.plain()) if closed else "",
            )
        for (cell, number), seen in journal.observations(row.id).items():
            for one in seen:
                stands["observation"][row.id, cell, number, one.suite, one.case] = json.loads(
                    json.dumps(observation_row(one))
                )
        for file in journal.files(row.id):
            stands["file"].setdefault((row.id, file.cell, file.number), []).append((file.name, file.sha256, file.size))
    return [
        f"{what} {' '.join(map(str, key)) if isinstance(key, tuple) else key}"
        for what in told
        for key in sorted(told[what].keys() | stands[what].keys(), key=str)
        if told[what].get(key) != stands[what].get(key)
    ]
