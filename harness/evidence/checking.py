"""Checks that a record is unchanged: its chains of events, and the tables that follow from them.

A campaign is looked at alone, in one snapshot: its own chain, where the workspace's chain says that it begins and how
far it was written, and its own rows. What others write meanwhile is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.evidence.chain import GENESIS, WORKSPACE, first_break
from harness.evidence.journal import JournalReader
from harness.model.records import EventRow
from harness.model.results import State
from harness.system.canonical import digest_of, read_json

#: Kind of a thing -> its key -> what is said of it.
Said = dict[str, dict[Any, Any]]
_KINDS = ("campaign", "attempt", "observation", "file")


def chain_faults(reader: JournalReader, campaign: str, events: Sequence[EventRow]) -> list[str]:
    """The faults of a campaign's chain of ``events``, in words; empty where there is none."""
    if campaign == WORKSPACE:
        entries = []
        begin: str | None = GENESIS
    else:
        entries = reader.entries(campaign)
        begin = entries[0].head if entries and entries[0].length == 0 else None
    if begin is None:
        return [f"the workspace's chain does not know where the chain of {campaign} begins"]
    name = campaign or "the workspace"
    faults = [f"what the workspace's chain says of {name} was changed"] if not all(e.sound for e in entries) else []
    broken = first_break(events, begin)
    if broken is not None:
        faults.append(f"event {broken} of {name} does not follow from the one before it")
    digests = {0: begin, **{event.seq: event.digest for event in events}}
    faults += [
        f"{name} had {entry.length} events, and event {entry.length} is not what it was"
        for entry in entries
        if digests.get(entry.length) != entry.head
    ]
    end = (events[-1].seq, events[-1].digest) if events else (0, begin)
    if broken is None and reader.chain(campaign) != end:
        faults.append(f"{name} was written further than event {end[0]}")
    return faults


def unknown_chains(reader: JournalReader) -> list[str]:
    """Chains and campaigns of which the workspace's chain knows nothing, and chains that it knows and that are gone."""
    entered = {str(_data(event).get("chain", "")) for event in reader.events(WORKSPACE) if event.kind == "chain-opened"}
    stand = {*reader.chains(), *(row.id for row in reader.campaigns())} - {WORKSPACE}
    return [f"the workspace's chain knows nothing of {name}" for name in sorted(stand - entered)] + [
        f"{name} is in the workspace's chain, and nothing else is left of it" for name in sorted(entered - stand)
    ]


def broken_at(reader: JournalReader) -> tuple[str, int] | None:
    """Chain and number of the first event, in any chain, that does not follow from the one before it; or None."""
    for campaign in sorted({*reader.chains(), *(event.campaign for event in reader.events())}):
        entries = reader.entries(campaign)
        begin = GENESIS if campaign == WORKSPACE else entries[0].head if entries else GENESIS
        broken = first_break(reader.events(campaign), begin)
        if broken is not None:
            return campaign, broken
    return None


def differences(reader: JournalReader, campaign: str, events: Sequence[EventRow]) -> list[str]:
    """Where the tables of a campaign contradict its ``events``, in words; empty where they agree."""
    expected, stands = _from_events(events), _from_tables(reader.stored(campaign))
    return [
        f"{kind} {' '.join(map(str, key)) if isinstance(key, tuple) else key}"
        for kind in _KINDS
        for key in sorted(expected[kind].keys() | stands[kind].keys(), key=str)
        if expected[kind].get(key) != stands[kind].get(key)
    ]


def _data(event: EventRow) -> dict[str, Any]:
    """Of an event; empty where it is no JSON object any more."""
    try:
        data = read_json(event.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _from_events(events: Sequence[EventRow]) -> Said:
    expected: Said = {kind: {} for kind in _KINDS}
    for event in events:
        data, key = _data(event), (event.cell, event.number)
        match event.kind:
            case "campaign-opened":
                expected["campaign"][event.campaign] = (data.get("plan"), data.get("snapshot"), None)
            case "campaign-closed":
                opened = expected["campaign"].get(event.campaign, ("", "", None))
                expected["campaign"][event.campaign] = (*opened[:2], data.get("verdict"))
            case "attempt-opened":
                expected["attempt"][key] = (State.QUEUED.value, None, None, "", "")
            case "state":
                expected["attempt"][key] = (data.get("state"), None, None, "", "")
            case "attempt-closed":
                end = (data.get("verdict"), data.get("cause"), data.get("message"), data.get("facts"))
                expected["attempt"][key] = (State.DONE.value, *end)
            case "observation":
                expected["observation"][(*key, data.get("suite"), data.get("case"))] = data
            case "file":
                entry = (data.get("name"), data.get("sha256"), data.get("size"))
                expected["file"][event.seq] = (*key, *entry)
    return expected


def _from_tables(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Said:
    stands: Said = {kind: {} for kind in _KINDS}
    for row in rows["campaigns"]:
        stands["campaign"][row["id"]] = (row["plan_digest"], _digest(row["plan"]), row["verdict"])
    for row in rows["attempts"]:
        closed = row["state"] == State.DONE.value
        facts = _digest(row["facts"]) if closed else ""
        end = (row["verdict"], row["cause"], row["message"] or "", facts)
        stands["attempt"][row["cell"], row["number"]] = (row["state"], *end)
    plain = ("suite", "case", "result", "cause", "skip_reason", "seconds", "detail")
    for row in rows["observations"]:
        key = (row["cell"], row["number"], row["suite"], row["case"])
        stands["observation"][key] = {
            **{name: row[name] for name in plain},
            "measurements": _value(row["measurements"]),
            "evidence": _value(row["evidence"]),
        }
    for row in rows["files"]:
        stands["file"][row["seq"]] = (row["cell"], row["number"], row["name"], row["sha256"], row["size"])
    return stands


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return f"no JSON: {text[:60]}"


def _digest(text: str) -> str:
    return digest_of(_value(text))
