"""Tables of the desk of a center, in a schema of their own: organisations, people, applications and their steps, audit.

The rules that no program may go round stand here: triggers and row-level security. PostgreSQL only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = """
CREATE SCHEMA desk;
CREATE TABLE desk.organisations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    kind text NOT NULL CHECK (kind IN ('center', 'vendor')),
    created timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX one_center ON desk.organisations (kind) WHERE kind = 'center';
CREATE TABLE desk.people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation bigint NOT NULL REFERENCES desk.organisations,
    account text NOT NULL UNIQUE CHECK (account = lower(account) AND length(account) BETWEEN 1 AND 100),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    password text NOT NULL,
    must_change boolean NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE desk.memberships (
    person bigint NOT NULL REFERENCES desk.people,
    role text NOT NULL
        CHECK (role IN ('applicant', 'tester', 'reviewer', 'approver', 'administrator', 'auditor')),
    PRIMARY KEY (person, role)
);
CREATE TABLE desk.sessions (
    token text PRIMARY KEY,
    person bigint NOT NULL REFERENCES desk.people,
    address text NOT NULL,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz
);
CREATE INDEX sessions_of_person ON desk.sessions (person);
CREATE TABLE desk.devices (
    token text PRIMARY KEY,
    person bigint NOT NULL REFERENCES desk.people,
    created timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE desk.failures (
    key text PRIMARY KEY,
    count integer NOT NULL,
    first timestamptz NOT NULL
);
CREATE TABLE desk.tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token text NOT NULL UNIQUE,
    person bigint NOT NULL REFERENCES desk.people,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes text NOT NULL,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires timestamptz NOT NULL,
    ended timestamptz
);
CREATE TABLE desk.applications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation bigint NOT NULL REFERENCES desk.organisations,
    creator bigint NOT NULL REFERENCES desk.people,
    state text NOT NULL DEFAULT 'draft',
    form text NOT NULL,
    product text NOT NULL,
    version text NOT NULL,
    campaign text,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX applications_by_state ON desk.applications (state, changed);
CREATE INDEX applications_by_organisation ON desk.applications (organisation, changed);
CREATE UNIQUE INDEX applications_by_campaign ON desk.applications (campaign);
CREATE TABLE desk.transitions (
    action text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    role text NOT NULL,
    duty text NOT NULL,
    back boolean NOT NULL,
    PRIMARY KEY (action, source)
);
CREATE TABLE desk.application_steps (
    application bigint NOT NULL REFERENCES desk.applications,
    seq integer NOT NULL,
    action text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    person bigint REFERENCES desk.people,
    who text NOT NULL,
    role text NOT NULL,
    duty text NOT NULL,
    time timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    opinion text NOT NULL DEFAULT '' CHECK (length(opinion) <= 4000),
    campaign text,
    PRIMARY KEY (application, seq)
);
CREATE TABLE desk.uploads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application bigint NOT NULL REFERENCES desk.applications,
    person bigint NOT NULL REFERENCES desk.people,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    state text NOT NULL DEFAULT 'quarantine' CHECK (state IN ('quarantine', 'scanned', 'unread')),
    result text NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX uploads_of_application ON desk.uploads (application);
CREATE TABLE desk.certificates (
    number text PRIMARY KEY,
    application bigint NOT NULL UNIQUE REFERENCES desk.applications,
    campaign text NOT NULL,
    product text NOT NULL,
    version text NOT NULL,
    vendor text NOT NULL,
    kind text NOT NULL,
    issued text NOT NULL,
    valid_until text NOT NULL,
    platforms text NOT NULL,
    files text NOT NULL
);
CREATE TABLE desk.audit (
    seq bigint PRIMARY KEY,
    time text NOT NULL,
    person bigint,
    who text NOT NULL,
    address text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    previous text NOT NULL,
    digest text NOT NULL
);
"""

#: As ``harness.desk.flow`` had them when this step was written.
TRANSITIONS = """
INSERT INTO desk.transitions (action, source, target, role, duty, back) VALUES
    ('submit', 'draft', 'plan_review', 'applicant', 'apply', false),
    ('withdraw', 'draft', 'withdrawn', 'applicant', 'apply', false),
    ('withdraw', 'plan_review', 'withdrawn', 'applicant', 'apply', false),
    ('accept_plan', 'plan_review', 'testing', 'reviewer', 'review', false),
    ('return_application', 'plan_review', 'draft', 'reviewer', 'review', true),
    ('reject', 'plan_review', 'rejected', 'reviewer', 'review', true),
    ('bind_campaign', 'testing', 'testing', 'tester', 'test', false),
    ('return_from_testing', 'testing', 'draft', 'tester', 'test', true),
    ('finish_testing', 'testing', 'machine_review', 'tester', 'test', false),
    ('machine_pass', 'machine_review', 'reporting', 'machine', 'machine', false),
    ('machine_return', 'machine_review', 'testing', 'machine', 'machine', true),
    ('submit_report', 'reporting', 'first_review', 'tester', 'test', false),
    ('pass_first', 'first_review', 'second_review', 'reviewer', 'review', false),
    ('return_report', 'first_review', 'reporting', 'reviewer', 'review', true),
    ('pass_second', 'second_review', 'drafting', 'approver', 'approve', false),
    ('return_review', 'second_review', 'first_review', 'approver', 'approve', true),
    ('make_draft', 'drafting', 'confirmation', 'reviewer', 'review', false),
    ('return_for_report', 'drafting', 'reporting', 'reviewer', 'review', true),
    ('confirm', 'confirmation', 'issuing', 'applicant', 'apply', false),
    ('dispute', 'confirmation', 'drafting', 'applicant', 'apply', true),
    ('issue', 'issuing', 'issued', 'approver', 'approve', false),
    ('return_draft', 'issuing', 'drafting', 'approver', 'approve', true);
"""

#: SQLSTATEs of a refusal: DK403 not this person, DK404 not there, DK409 not in this state, DK422 not whole.
GUARDS = """
CREATE FUNCTION desk.reach() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT coalesce(current_setting('desk.reach', true), '') $$;
CREATE FUNCTION desk.own_person() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('desk.person', true), '')::bigint $$;
CREATE FUNCTION desk.own_organisation() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('desk.organisation', true), '')::bigint $$;

CREATE FUNCTION desk.administrates() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT desk.reach() = 'system' OR EXISTS (
        SELECT FROM desk.memberships WHERE person = desk.own_person() AND role = 'administrator') $$;

CREATE FUNCTION desk.unchangeable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of this table are never changed or removed' USING ERRCODE = 'DK403';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON desk.audit
    FOR EACH STATEMENT EXECUTE FUNCTION desk.unchangeable();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON desk.application_steps
    FOR EACH STATEMENT EXECUTE FUNCTION desk.unchangeable();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON desk.certificates
    FOR EACH STATEMENT EXECUTE FUNCTION desk.unchangeable();

CREATE FUNCTION desk.fitting_role() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kind text;
BEGIN
    SELECT o.kind INTO kind FROM desk.people p JOIN desk.organisations o ON o.id = p.organisation
        WHERE p.id = NEW.person;
    IF kind IS NULL OR (kind = 'vendor') <> (NEW.role = 'applicant') THEN
        RAISE EXCEPTION 'a role of people of another kind of organisation' USING ERRCODE = 'DK422';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fitting_role BEFORE INSERT OR UPDATE ON desk.memberships
    FOR EACH ROW EXECUTE FUNCTION desk.fitting_role();

CREATE FUNCTION desk.settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' OR NEW.campaign IS NOT NULL OR NEW.creator IS DISTINCT FROM desk.own_person() THEN
            RAISE EXCEPTION 'an application begins as a draft of its creator' USING ERRCODE = 'DK403';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.organisation, NEW.creator, NEW.created)
        IS DISTINCT FROM (OLD.id, OLD.organisation, OLD.creator, OLD.created) THEN
        RAISE EXCEPTION 'whose application it is never changes' USING ERRCODE = 'DK403';
    END IF;
    IF pg_trigger_depth() < 2 AND (NEW.state, NEW.campaign) IS DISTINCT FROM (OLD.state, OLD.campaign) THEN
        RAISE EXCEPTION 'an application changes its state by steps alone' USING ERRCODE = 'DK403';
    END IF;
    IF OLD.state <> 'draft' AND (NEW.form, NEW.product, NEW.version)
        IS DISTINCT FROM (OLD.form, OLD.product, OLD.version) THEN
        RAISE EXCEPTION 'only a draft is changed' USING ERRCODE = 'DK409';
    END IF;
    NEW.changed := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER settled BEFORE INSERT OR UPDATE ON desk.applications
    FOR EACH ROW EXECUTE FUNCTION desk.settled();

CREATE FUNCTION desk.take_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE a record; t record; p record;
BEGIN
    SELECT * INTO a FROM desk.applications WHERE id = NEW.application FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such application' USING ERRCODE = 'DK404';
    END IF;
    SELECT * INTO t FROM desk.transitions WHERE action = NEW.action AND source = a.state;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'state: no step of this name leads from here' USING ERRCODE = 'DK409';
    END IF;
    SELECT * INTO p FROM desk.people WHERE id = desk.own_person() AND active;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role: nobody acts' USING ERRCODE = 'DK403';
    END IF;
    NEW.seq := (SELECT coalesce(max(seq), 0) + 1 FROM desk.application_steps WHERE application = NEW.application);
    NEW.source := t.source; NEW.target := t.target; NEW.role := t.role; NEW.duty := t.duty;
    NEW.time := clock_timestamp();
    IF t.role = 'machine' THEN
        NEW.person := NULL; NEW.who := 'machine';
    ELSE
        NEW.person := p.id; NEW.who := p.name;
        IF NOT EXISTS (SELECT FROM desk.memberships WHERE person = p.id AND role = t.role) THEN
            RAISE EXCEPTION 'role: the person does not have it' USING ERRCODE = 'DK403';
        END IF;
        IF t.role = 'applicant' AND p.organisation <> a.organisation THEN
            RAISE EXCEPTION 'role: of another organisation' USING ERRCODE = 'DK403';
        END IF;
        IF EXISTS (SELECT FROM desk.application_steps
                   WHERE application = NEW.application AND person = p.id AND duty <> t.duty) THEN
            RAISE EXCEPTION 'duty: the person has done another duty for this application' USING ERRCODE = 'DK403';
        END IF;
    END IF;
    IF t.back AND (NEW.reason = '' OR btrim(NEW.opinion) = '') THEN
        RAISE EXCEPTION 'opinion: what is passed back has a reason and an opinion' USING ERRCODE = 'DK422';
    END IF;
    IF NEW.campaign IS NOT NULL AND NEW.action <> 'bind_campaign' THEN
        RAISE EXCEPTION 'state: only testing binds a campaign' USING ERRCODE = 'DK409';
    END IF;
    UPDATE desk.applications SET state = t.target, campaign = coalesce(NEW.campaign, campaign) WHERE id = a.id;
    RETURN NEW;
END $$;
CREATE TRIGGER take_step BEFORE INSERT ON desk.application_steps
    FOR EACH ROW EXECUTE FUNCTION desk.take_step();

CREATE FUNCTION desk.issued_by_steps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM desk.applications
                   WHERE id = NEW.application AND state = 'issued' AND campaign = NEW.campaign) THEN
        RAISE EXCEPTION 'state: a certificate is that of an application which was issued' USING ERRCODE = 'DK409';
    END IF;
    IF (SELECT count(DISTINCT person) FROM desk.application_steps
        WHERE application = NEW.application AND duty IN ('test', 'review', 'approve')) < 3 THEN
        RAISE EXCEPTION 'duty: tester, reviewer and approver are three people' USING ERRCODE = 'DK403';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER issued_by_steps BEFORE INSERT ON desk.certificates
    FOR EACH ROW EXECUTE FUNCTION desk.issued_by_steps();

CREATE FUNCTION desk.chained() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE last record;
BEGIN
    PERFORM pg_advisory_xact_lock(2020895075);
    SELECT seq, digest INTO last FROM desk.audit ORDER BY seq DESC LIMIT 1;
    NEW.seq := coalesce(last.seq, 0) + 1;
    NEW.previous := coalesce(last.digest, repeat('0', 64));
    NEW.time := to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"');
    NEW.digest := encode(sha256(convert_to(json_build_array(NEW.seq, NEW.time, NEW.person, NEW.who, NEW.address,
        NEW.action, NEW.subject, NEW.detail, NEW.previous)::text, 'UTF8')), 'hex');
    RETURN NEW;
END $$;
CREATE TRIGGER chained BEFORE INSERT ON desk.audit FOR EACH ROW EXECUTE FUNCTION desk.chained();
"""

#: For the role of requests; the owner, who makes backups, is not narrowed.
POLICIES = """
ALTER TABLE desk.organisations ENABLE ROW LEVEL SECURITY;
CREATE POLICY looking ON desk.organisations FOR SELECT USING (desk.reach() IN ('center', 'system')
    OR (desk.reach() = 'own' AND id = desk.own_organisation()));
CREATE POLICY adding ON desk.organisations FOR INSERT WITH CHECK (desk.administrates());
ALTER TABLE desk.people ENABLE ROW LEVEL SECURITY;
CREATE POLICY looking ON desk.people FOR SELECT USING (desk.reach() IN ('center', 'system')
    OR (desk.reach() = 'own' AND organisation = desk.own_organisation()));
CREATE POLICY adding ON desk.people FOR INSERT WITH CHECK (desk.administrates());
CREATE POLICY changing ON desk.people FOR UPDATE USING (id = desk.own_person() OR desk.administrates());
ALTER TABLE desk.memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY looking ON desk.memberships FOR SELECT USING (person IN (SELECT id FROM desk.people));
CREATE POLICY giving ON desk.memberships FOR INSERT WITH CHECK (desk.administrates());
CREATE POLICY taking ON desk.memberships FOR DELETE USING (desk.administrates());
ALTER TABLE desk.tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY reach ON desk.tokens USING (desk.reach() = 'system' OR person = desk.own_person());
ALTER TABLE desk.sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY reach ON desk.sessions USING (desk.reach() = 'system' OR person = desk.own_person());
ALTER TABLE desk.applications ENABLE ROW LEVEL SECURITY;
CREATE POLICY reach ON desk.applications USING (desk.reach() IN ('center', 'system')
    OR (desk.reach() = 'own' AND organisation = desk.own_organisation()));
ALTER TABLE desk.application_steps ENABLE ROW LEVEL SECURITY;
CREATE POLICY reach ON desk.application_steps USING (application IN (SELECT id FROM desk.applications));
ALTER TABLE desk.uploads ENABLE ROW LEVEL SECURITY;
CREATE POLICY reach ON desk.uploads USING (application IN (SELECT id FROM desk.applications));
ALTER TABLE desk.audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY entering ON desk.audit FOR INSERT WITH CHECK (true);
CREATE POLICY looking ON desk.audit FOR SELECT
    USING (desk.reach() = 'system' OR current_setting('desk.audit', true) = 'yes');
"""


def make(connection: sa.Connection) -> None:
    """The tables and their guards; nothing where the database is no PostgreSQL."""
    if connection.dialect.name == "postgresql":
        for statements in (TABLES, TRANSITIONS, GUARDS, POLICIES):
            connection.exec_driver_sql(statements)


def upgrade() -> None:
    make(op.get_bind())
