"""Changes of the status of certificates at the desk: proposed by one person, decided by another. PostgreSQL only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

#: ``source``: what the register said when it was proposed. A row is decided once; nothing else of it changes.
TABLES = """
CREATE TABLE desk.status_kinds (
    kind text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    PRIMARY KEY (kind, source)
);
CREATE TABLE desk.status_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    certificate text NOT NULL REFERENCES desk.certificates,
    kind text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL CHECK (reason ~ '[^[:space:]]' AND length(reason) <= 200),
    opinion text NOT NULL CHECK (opinion ~ '[^[:space:]]' AND length(opinion) <= 4000),
    successor text CHECK (successor <> certificate),
    proposer bigint NOT NULL REFERENCES desk.people,
    proposer_name text NOT NULL,
    proposed timestamptz NOT NULL,
    decision text CHECK (decision IN ('carried_out', 'refused', 'withdrawn')),
    answer text NOT NULL DEFAULT '' CHECK (length(answer) <= 4000),
    decider bigint REFERENCES desk.people,
    decider_name text,
    decided timestamptz,
    CHECK ((kind = 'supersede') = (successor IS NOT NULL)),
    CHECK ((decision IS NULL) = (decider IS NULL)),
    CHECK (decision IS NULL OR (decision = 'withdrawn') = (decider = proposer))
);
CREATE UNIQUE INDEX one_open_change ON desk.status_changes (certificate) WHERE decision IS NULL;
CREATE INDEX changes_of_certificate ON desk.status_changes (certificate, id);
"""

#: As ``harness.desk.status_flow`` had them when this step was written.
KINDS = """
INSERT INTO desk.status_kinds (kind, source, target) VALUES
    ('suspend', 'active', 'suspended'),
    ('reinstate', 'suspended', 'active'),
    ('revoke', 'active', 'revoked'),
    ('revoke', 'suspended', 'revoked'),
    ('revoke', 'superseded', 'revoked'),
    ('supersede', 'active', 'superseded'),
    ('supersede', 'suspended', 'superseded');
"""

#: SQLSTATEs as those of 0006.
GUARDS = """
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON desk.status_changes
    FOR EACH STATEMENT EXECUTE FUNCTION desk.unchangeable();

CREATE FUNCTION desk.propose_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE p record;
BEGIN
    SELECT * INTO p FROM desk.people WHERE id = desk.own_person() AND active;
    IF NOT FOUND OR NOT EXISTS (
        SELECT FROM desk.memberships WHERE person = p.id AND role IN ('reviewer', 'approver')) THEN
        RAISE EXCEPTION 'role: the person does not have it' USING ERRCODE = 'DK403';
    END IF;
    IF NOT EXISTS (SELECT FROM desk.certificates WHERE number = NEW.certificate) THEN
        RAISE EXCEPTION 'missing: no such certificate' USING ERRCODE = 'DK404';
    END IF;
    SELECT target INTO NEW.target FROM desk.status_kinds WHERE kind = NEW.kind AND source = NEW.source;
    IF NOT FOUND OR EXISTS (SELECT FROM desk.status_changes WHERE certificate = NEW.certificate
                            AND decision = 'carried_out' AND status_changes.target = 'revoked') THEN
        RAISE EXCEPTION 'status: no change of this kind leads from here' USING ERRCODE = 'DK409';
    END IF;
    IF EXISTS (SELECT FROM desk.status_changes WHERE certificate = NEW.certificate AND decision IS NULL) THEN
        RAISE EXCEPTION 'open: another change waits for its decision' USING ERRCODE = 'DK409';
    END IF;
    IF NEW.reason !~ '[^[:space:]]' OR NEW.opinion !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'opinion: a change has a reason and an opinion' USING ERRCODE = 'DK422';
    END IF;
    IF (NEW.kind = 'supersede') <> (NEW.successor IS NOT NULL) OR NEW.successor = NEW.certificate THEN
        RAISE EXCEPTION 'successor: another certificate takes the place of a superseded one' USING ERRCODE = 'DK422';
    END IF;
    NEW.proposer := p.id; NEW.proposer_name := p.name; NEW.proposed := clock_timestamp();
    NEW.decision := NULL; NEW.answer := ''; NEW.decider := NULL; NEW.decider_name := NULL; NEW.decided := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER propose_change BEFORE INSERT ON desk.status_changes
    FOR EACH ROW EXECUTE FUNCTION desk.propose_change();

CREATE FUNCTION desk.decide_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE p record;
BEGIN
    IF to_jsonb(NEW) - 'decision' - 'answer' IS DISTINCT FROM to_jsonb(OLD) - 'decision' - 'answer' THEN
        RAISE EXCEPTION 'role: what was proposed never changes' USING ERRCODE = 'DK403';
    END IF;
    IF OLD.decision IS NOT NULL THEN
        RAISE EXCEPTION 'decided: a change is decided once' USING ERRCODE = 'DK409';
    END IF;
    SELECT * INTO p FROM desk.people WHERE id = desk.own_person() AND active;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role: nobody acts' USING ERRCODE = 'DK403';
    END IF;
    IF NEW.decision = 'withdrawn' THEN
        IF p.id <> OLD.proposer THEN
            RAISE EXCEPTION 'role: only who proposed a change withdraws it' USING ERRCODE = 'DK403';
        END IF;
    ELSIF NEW.decision IN ('carried_out', 'refused') THEN
        IF NOT EXISTS (SELECT FROM desk.memberships WHERE person = p.id AND role = 'approver') THEN
            RAISE EXCEPTION 'role: the person does not have it' USING ERRCODE = 'DK403';
        END IF;
        IF p.id = OLD.proposer THEN
            RAISE EXCEPTION 'second: who proposed a change does not decide it' USING ERRCODE = 'DK403';
        END IF;
        IF EXISTS (SELECT FROM desk.application_steps s JOIN desk.certificates c ON c.application = s.application
                   WHERE c.number = OLD.certificate AND s.person = p.id AND s.duty = 'test') THEN
            RAISE EXCEPTION 'duty: who tested it decides nothing about its certificate' USING ERRCODE = 'DK403';
        END IF;
        IF NEW.decision = 'refused' AND NEW.answer !~ '[^[:space:]]' THEN
            RAISE EXCEPTION 'opinion: a refusal has a reason' USING ERRCODE = 'DK422';
        END IF;
    ELSE
        RAISE EXCEPTION 'decided: there is no such decision' USING ERRCODE = 'DK422';
    END IF;
    NEW.decider := p.id; NEW.decider_name := p.name; NEW.decided := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER decide_change BEFORE UPDATE ON desk.status_changes
    FOR EACH ROW EXECUTE FUNCTION desk.decide_change();
"""

#: People of a vendor see what became of their own certificates, and nothing of what was only proposed.
POLICIES = """
ALTER TABLE desk.status_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY looking ON desk.status_changes FOR SELECT USING (desk.reach() IN ('center', 'system')
    OR (desk.reach() = 'own' AND decision = 'carried_out' AND certificate IN (
        SELECT c.number FROM desk.certificates c JOIN desk.applications a ON a.id = c.application)));
CREATE POLICY proposing ON desk.status_changes FOR INSERT WITH CHECK (desk.reach() = 'center');
CREATE POLICY deciding ON desk.status_changes FOR UPDATE USING (desk.reach() = 'center');
"""


def make(connection: sa.Connection) -> None:
    """The tables and their guards; nothing where the database is no PostgreSQL."""
    if connection.dialect.name == "postgresql":
        for statements in (TABLES, KINDS, GUARDS, POLICIES):
            connection.exec_driver_sql(statements)


def upgrade() -> None:
    make(op.get_bind())
