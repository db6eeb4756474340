"""Days and moments as people at the issuer's place write them; records keep UTC (ISO 8601)."""

from __future__ import annotations

import datetime


def zone(offset: str) -> datetime.timezone:
    """The zone of an offset from UTC, ``+08:00``."""
    moment = datetime.datetime.strptime(offset, "%z")
    length = moment.utcoffset()
    assert length is not None, "%z gives one"
    return datetime.timezone(length)


def local(moment: str, offset: str) -> datetime.datetime | None:
    """A recorded moment at that offset; one without an offset is UTC. None where the text is no moment."""
    try:
        read = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return None
    aware = read if read.tzinfo is not None else read.replace(tzinfo=datetime.UTC)
    return aware.astimezone(zone(offset))


def day(moment: str, offset: str) -> dict[str, str]:
    """The day of a moment: 年月日 in Chinese, ISO 8601 in English."""
    there = local(moment, offset)
    return {"zh": "—", "en": "—"} if there is None else written(there.date().isoformat())


def written(iso: str) -> dict[str, str]:
    """A calendar day that is given as ``YYYY-MM-DD``; what is none stays as it is."""
    try:
        date = datetime.date.fromisoformat(iso)
    except ValueError:
        return {"zh": iso or "—", "en": iso or "—"}
    return {"zh": f"{date.year}年{date.month}月{date.day}日", "en": date.isoformat()}


def days(first: str, last: str, offset: str) -> dict[str, str]:
    """From one moment to another, in days; one day where both lie in it."""
    begin, end = day(first, offset), day(last, offset)
    if end["en"] in ("—", begin["en"]):
        return begin
    return {"zh": f"{begin['zh']}至{end['zh']}", "en": f"{begin['en']} – {end['en']}"}


def minutes(moment: str, offset: str) -> str:
    """A moment to the minute, with its offset: ``2026-01-02 11:04 +08:00``."""
    there = local(moment, offset)
    return "—" if there is None else f"{there:%Y-%m-%d %H:%M} {offset}"
