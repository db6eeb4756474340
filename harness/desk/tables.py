"""The tables of the desk as its queries name them. What they are, and their guards: the migrations ``r0006_desk``
and ``r0008_statuses``."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(schema="desk")
_MOMENT = sa.DateTime(timezone=True)


def _table(name: str, /, **columns: Any) -> sa.Table:
    return sa.Table(name, metadata, *(sa.Column(column, kind) for column, kind in columns.items()))


organisations = _table("organisations", id=sa.BigInteger, name=sa.Text, kind=sa.Text, created=_MOMENT)
people = _table(
    "people",
    id=sa.BigInteger,
    organisation=sa.BigInteger,
    account=sa.Text,
    name=sa.Text,
    password=sa.Text,
    must_change=sa.Boolean,
    active=sa.Boolean,
    created=_MOMENT,
)
memberships = _table("memberships", person=sa.BigInteger, role=sa.Text)
sessions = _table(
    "sessions", token=sa.Text, person=sa.BigInteger, address=sa.Text, created=_MOMENT, seen=_MOMENT, ended=_MOMENT
)
devices = _table("devices", token=sa.Text, person=sa.BigInteger, created=_MOMENT)
failures = _table("failures", key=sa.Text, count=sa.Integer, first=_MOMENT)
tokens = _table(
    "tokens",
    id=sa.BigInteger,
    token=sa.Text,
    person=sa.BigInteger,
    name=sa.Text,
    scopes=sa.Text,
    created=_MOMENT,
    expires=_MOMENT,
    ended=_MOMENT,
)
applications = _table(
    "applications",
    id=sa.BigInteger,
    organisation=sa.BigInteger,
    creator=sa.BigInteger,
    state=sa.Text,
    form=sa.Text,
    product=sa.Text,
    version=sa.Text,
    campaign=sa.Text,
    created=_MOMENT,
    changed=_MOMENT,
)
transitions = _table(
    "transitions", action=sa.Text, source=sa.Text, target=sa.Text, role=sa.Text, duty=sa.Text, back=sa.Boolean
)
steps = _table(
    "application_steps",
    application=sa.BigInteger,
    seq=sa.Integer,
    action=sa.Text,
    source=sa.Text,
    target=sa.Text,
    person=sa.BigInteger,
    who=sa.Text,
    role=sa.Text,
    duty=sa.Text,
    time=_MOMENT,
    reason=sa.Text,
    opinion=sa.Text,
    campaign=sa.Text,
)
uploads = _table(
    "uploads",
    id=sa.BigInteger,
    application=sa.BigInteger,
    person=sa.BigInteger,
    name=sa.Text,
    size=sa.BigInteger,
    sha256=sa.Text,
    state=sa.Text,
    result=sa.Text,
    created=_MOMENT,
)
certificates = _table(
    "certificates",
    number=sa.Text,
    application=sa.BigInteger,
    campaign=sa.Text,
    product=sa.Text,
    version=sa.Text,
    vendor=sa.Text,
    kind=sa.Text,
    issued=sa.Text,
    valid_until=sa.Text,
    platforms=sa.Text,
    files=sa.Text,
)
status_kinds = _table("status_kinds", kind=sa.Text, source=sa.Text, target=sa.Text)
status_changes = _table(
    "status_changes",
    id=sa.BigInteger,
    certificate=sa.Text,
    kind=sa.Text,
    source=sa.Text,
    target=sa.Text,
    reason=sa.Text,
    opinion=sa.Text,
    successor=sa.Text,
    proposer=sa.BigInteger,
    proposer_name=sa.Text,
    proposed=_MOMENT,
    decision=sa.Text,
    answer=sa.Text,
    decider=sa.BigInteger,
    decider_name=sa.Text,
    decided=_MOMENT,
)
audit = _table(
    "audit",
    seq=sa.BigInteger,
    time=sa.Text,
    person=sa.BigInteger,
    who=sa.Text,
    address=sa.Text,
    action=sa.Text,
    subject=sa.Text,
    detail=sa.Text,
    previous=sa.Text,
    digest=sa.Text,
)
