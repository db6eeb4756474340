"""Limits of customers: so many cells of a customer's campaigns run at once, whichever workers take them.

A trigger on the queue's jobs keeps the limit: a job above it stays where it is. Workers leave queues alone whose
customer has its number, so that what stands behind them is not kept waiting.
"""

from __future__ import annotations

import sqlalchemy as sa

from harness.center.queueing import Center
from harness.evidence import tables
from harness.evidence.chain import WORKSPACE
from harness.evidence.units import Unit

#: Two workers that take a job of one customer come one after the other, by the row of the limit: each counts what the
#: other took.
_SCRIPT = """
CREATE OR REPLACE FUNCTION harness_keep_limit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    of_customer text;
    most integer;
BEGIN
    SELECT s.customer, l.cells INTO of_customer, most
    FROM queues q JOIN submissions s ON s.campaign = q.campaign JOIN limits l ON l.customer = s.customer
    WHERE q.queue = NEW.queue_name FOR UPDATE OF l;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF (SELECT count(*) FROM procrastinate_jobs j JOIN queues q ON q.queue = j.queue_name
        JOIN submissions s ON s.campaign = q.campaign
        WHERE j.status = 'doing' AND s.customer = of_customer) >= most THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER harness_limit BEFORE UPDATE ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'todo' AND NEW.status = 'doing') EXECUTE FUNCTION harness_keep_limit();
"""


def limit(center: Center, customer: str, cells: int | None) -> None:
    """Let at most so many cells of a customer's campaigns run at once; None: as many as there are. Cells that run come
    to their end.

    Raises:
        InfrastructureError: the database refuses.
    """
    table = tables.limits

    def work(unit: Unit) -> None:
        center.journal.engine.alone(unit.connection)
        unit.connection.exec_driver_sql(_SCRIPT, execution_options={"no_parameters": True})
        unit.connection.execute(table.delete().where(table.c.customer == customer))
        if cells is not None:
            unit.connection.execute(table.insert().values(customer=customer, cells=cells))
        unit.append("limit", {"customer": customer, "cells": cells}, WORKSPACE)

    center.journal.transact("limiting a customer", work)


def limits(center: Center) -> dict[str, int]:
    """Customer -> cells at once, of those that have a limit."""
    table = tables.limits
    with center.journal.reading() as connection:
        return {row.customer: row.cells for row in connection.execute(sa.select(table).order_by(table.c.customer))}


def full(center: Center) -> frozenset[str]:
    """Queues of customers that have their number of cells running now."""
    query = sa.text(
        "SELECT q.queue FROM queues q JOIN submissions s ON s.campaign = q.campaign "
        "JOIN limits l ON l.customer = s.customer WHERE l.cells <= ("
        "SELECT count(*) FROM procrastinate_jobs j JOIN queues o ON o.queue = j.queue_name "
        "JOIN submissions t ON t.campaign = o.campaign WHERE j.status = 'doing' AND t.customer = s.customer)"
    )
    with center.journal.reading() as connection:
        return frozenset(queue for (queue,) in connection.execute(query))
