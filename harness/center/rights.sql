-- What a worker that is not trusted may do in a center's database; written by the owner of the tables, as often as
-- wanted. The owner, and whoever is a member of it, is bound by nothing of this.
--
-- Who asks is session_user: it stays what it was at login, also within functions that run with the owner's rights.
-- Such functions have a search_path of their own (PostgreSQL, CREATE FUNCTION, "Writing SECURITY DEFINER Functions
-- Safely").

CREATE SCHEMA IF NOT EXISTS harness_worker;

-- Of the queue's workers: by which role each was registered.
CREATE TABLE IF NOT EXISTS harness_worker.identities (identity bigint PRIMARY KEY, role text NOT NULL);
-- Jobs that a role was given, once: it takes part in their campaigns.
CREATE TABLE IF NOT EXISTS harness_worker.tasks (
    job bigint, role text, campaign text NOT NULL, cell text NOT NULL, PRIMARY KEY (job, role)
);
CREATE INDEX IF NOT EXISTS tasks_by_role ON harness_worker.tasks (role, campaign, cell);
-- Containers, networks and machines: which role noted each first.
CREATE TABLE IF NOT EXISTS harness_worker.made (kind text, name text, role text NOT NULL, PRIMARY KEY (kind, name));

-- --- who asks, and what it holds ---

CREATE OR REPLACE FUNCTION harness_worker.trusted() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_has_role(session_user, current_user, 'MEMBER')
$$;

CREATE OR REPLACE FUNCTION harness_worker.refuse(what text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'worker %: %', session_user, what USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Campaigns in which the role takes part.
CREATE OR REPLACE FUNCTION harness_worker.mine() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT campaign FROM harness_worker.tasks WHERE role = session_user
$$;

-- Whether the role holds a claim on the cell, or on its campaign; with that token, where one is given.
CREATE OR REPLACE FUNCTION harness_worker.holds(of_campaign text, of_cell text, by_token integer DEFAULT NULL)
RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM claims c
        WHERE c.campaign = of_campaign AND c.role = session_user AND c.worker <> '' AND c.cell IN ('', of_cell)
          AND (by_token IS NULL OR c.token = by_token)
    )
$$;

-- Whether the role holds a claim on the campaign or on any of its cells.
CREATE OR REPLACE FUNCTION harness_worker.holds_any(of_campaign text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM claims c WHERE c.campaign = of_campaign AND c.role = session_user AND c.worker <> ''
    )
$$;

-- Whether a job of the cell (empty: the one that closes the campaign) runs at the role.
CREATE OR REPLACE FUNCTION harness_worker.runs(of_campaign text, of_cell text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM procrastinate_jobs j JOIN harness_worker.identities i ON i.identity = j.worker_id
        WHERE i.role = session_user AND j.status = 'doing'
          AND j.args ->> 'campaign' = of_campaign AND coalesce(j.args ->> 'cell', '') = of_cell
    )
$$;

CREATE OR REPLACE FUNCTION harness_worker.own_job(of_job bigint) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM procrastinate_jobs j JOIN harness_worker.identities i ON i.identity = j.worker_id
        WHERE j.id = of_job AND i.role = session_user AND j.status = 'doing'
    )
$$;

CREATE OR REPLACE FUNCTION harness_worker.closed(of_campaign text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM campaigns WHERE id = of_campaign AND finished IS NOT NULL)
$$;

-- Whether no cell of the campaign waits or runs.
CREATE OR REPLACE FUNCTION harness_worker.all_ended(of_campaign text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS (
        SELECT FROM procrastinate_jobs j JOIN queues q ON q.queue = j.queue_name
        WHERE q.campaign = of_campaign AND j.status IN ('todo', 'doing')
    )
$$;

-- What the role noted first.
CREATE OR REPLACE FUNCTION harness_worker.made_by_me() RETURNS TABLE (kind text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.kind, m.name FROM harness_worker.made m WHERE m.role = session_user
$$;

-- Whether the role may add such an event.
CREATE OR REPLACE FUNCTION harness_worker.may_note(of_campaign text, of_cell text, of_kind text, of_data text)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF of_campaign = '' THEN
        RETURN of_kind LIKE 'resource-%'
            OR (of_kind = 'chain-head' AND harness_worker.holds((of_data::json) ->> 'chain', ''));
    ELSIF of_kind IN ('attempt-opened', 'state', 'observation', 'attempt-closed', 'attempt-cut-off') THEN
        RETURN of_cell <> '' AND harness_worker.holds(of_campaign, of_cell);
    ELSIF of_kind = 'file' THEN
        RETURN CASE of_cell
            WHEN '' THEN harness_worker.holds_any(of_campaign) ELSE harness_worker.holds(of_campaign, of_cell) END;
    ELSIF of_kind IN ('campaign-closed', 'campaign-rendered') THEN
        RETURN harness_worker.holds(of_campaign, '');
    ELSIF of_kind IN ('campaign-opened', 'chain-opened', 'chain-head') THEN
        RETURN false;
    ELSIF of_kind = 'submission' THEN
        RETURN (of_data::jsonb) = '{"state": "closed"}' AND harness_worker.closed(of_campaign)
            AND of_campaign IN (SELECT harness_worker.mine());
    ELSIF of_kind LIKE 'resource-%' THEN
        RETURN of_campaign IN (SELECT harness_worker.mine());
    END IF;
    RETURN NOT harness_worker.closed(of_campaign) AND (harness_worker.holds(of_campaign, of_cell) OR EXISTS (
        SELECT FROM harness_worker.tasks t
        WHERE t.role = session_user AND t.campaign = of_campaign AND of_cell IN ('', t.cell)
    ));
END
$$;

-- --- what is watched where it is written ---

CREATE OR REPLACE FUNCTION harness_worker.guard_claim() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    clock double precision := extract(epoch FROM clock_timestamp());
    own boolean := false;
    old_token integer := 0;
    -- A column that later tables have: the newest token of the campaign.
    issued integer := coalesce((to_jsonb(NEW) ->> 'issued')::integer, 0);
    old_issued integer := 0;
    newest integer;
BEGIN
    IF harness_worker.trusted() THEN
        IF TG_OP = 'INSERT' OR NEW.token <> OLD.token THEN
            NEW.role := '';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        own := OLD.worker <> '' AND OLD.role = session_user;
        old_token := OLD.token;
        old_issued := coalesce((to_jsonb(OLD) ->> 'issued')::integer, 0);
        IF (NEW.campaign, NEW.cell) IS DISTINCT FROM (OLD.campaign, OLD.cell) THEN
            PERFORM harness_worker.refuse('a claim is moved to another cell');
        ELSIF OLD.worker <> '' AND NOT own AND clock - OLD.heartbeat < OLD.patience THEN
            PERFORM harness_worker.refuse('the claim is held by another worker, which lives');
        END IF;
    END IF;
    IF issued NOT IN (old_issued, old_issued + 1) THEN
        PERFORM harness_worker.refuse('a token is left out, or given twice');
    END IF;
    IF NEW.worker = '' THEN
        IF NEW.token <> old_token THEN
            PERFORM harness_worker.refuse('a token without a claim');
        END IF;
        NEW.role := '';
        RETURN NEW;
    ELSIF own AND NEW.token = OLD.token AND NEW.worker = OLD.worker THEN
        NEW.heartbeat := clock;
        NEW.role := OLD.role;
        NEW.cancel := OLD.cancel;
        NEW.patience := OLD.patience;
        RETURN NEW;
    END IF;
    IF NOT harness_worker.runs(NEW.campaign, NEW.cell) THEN
        PERFORM harness_worker.refuse('a claim without the job');
    END IF;
    PERFORM FROM claims WHERE campaign = NEW.campaign AND cell = '' FOR UPDATE;
    IF EXISTS (
        SELECT FROM claims c
        WHERE c.campaign = NEW.campaign AND c.cell <> NEW.cell AND (NEW.cell = '' OR c.cell = '')
          AND c.worker <> '' AND clock - c.heartbeat < c.patience
    ) THEN
        PERFORM harness_worker.refuse('another claim on the campaign stands');
    END IF;
    SELECT max(greatest(token, coalesce((to_jsonb(c) ->> 'issued')::integer, 0))) INTO newest
    FROM claims c WHERE campaign = NEW.campaign;
    IF NEW.token NOT IN (coalesce(newest, 0), coalesce(newest, 0) + 1)
        OR EXISTS (SELECT FROM claims WHERE campaign = NEW.campaign AND token >= NEW.token) THEN
        PERFORM harness_worker.refuse('a token that is not the next one');
    END IF;
    NEW.heartbeat := clock;
    NEW.role := session_user;
    NEW.cancel := '';
    NEW.patience := least(greatest(NEW.patience, 6), 3600);
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.guard_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    own_digest text;
BEGIN
    IF harness_worker.trusted() THEN
        RETURN NULL;
    END IF;
    -- The canonical form is that of harness.system.canonical.
    own_digest := encode(sha256(convert_to(concat(
        '{"campaign":', to_json(NEW.campaign::text), ',"cell":', to_json(NEW.cell::text),
        ',"data":', to_json(NEW.data::text), ',"kind":', to_json(NEW.kind::text), ',"number":', NEW.number,
        ',"previous":', to_json(NEW.previous::text), ',"seq":', NEW.seq, ',"time":', to_json(NEW.time::text), '}'
    ), 'UTF8')), 'hex');
    IF NEW.digest <> own_digest THEN
        PERFORM harness_worker.refuse('the digest of an event is not its own');
    ELSIF NOT EXISTS (
        SELECT FROM events WHERE campaign = NEW.campaign AND seq = NEW.seq - 1 AND digest = NEW.previous
    ) THEN
        PERFORM harness_worker.refuse('an event does not follow from the one before it');
    ELSIF NOT EXISTS (SELECT FROM chains WHERE campaign = NEW.campaign AND length >= NEW.seq) THEN
        PERFORM harness_worker.refuse('an event behind the end of its chain');
    ELSIF NEW.kind = 'chain-head' AND NOT EXISTS (
        SELECT FROM events
        WHERE campaign = (NEW.data::json) ->> 'chain' AND seq = ((NEW.data::json) ->> 'length')::integer
          AND digest = (NEW.data::json) ->> 'head'
    ) THEN
        PERFORM harness_worker.refuse('the head of a chain is not what is said');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.guard_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF harness_worker.trusted() OR (NEW.length, NEW.head) = (OLD.length, OLD.head) THEN
        RETURN NULL;
    ELSIF NEW.length <= OLD.length OR NOT EXISTS (
        SELECT FROM events WHERE campaign = NEW.campaign AND seq = NEW.length AND digest = NEW.head
    ) THEN
        PERFORM harness_worker.refuse('the head of a chain is not its last event');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.guard_file() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF harness_worker.trusted() THEN
        RETURN NULL;
    ELSIF NEW.sha256 !~ '^[0-9a-f]{64}$' OR NEW.size < 0 OR NOT EXISTS (
        SELECT FROM events
        WHERE campaign = NEW.campaign AND seq = NEW.seq AND kind = 'file' AND cell = NEW.cell AND number = NEW.number
          AND (data::jsonb) = jsonb_build_object('name', NEW.name, 'sha256', NEW.sha256, 'size', NEW.size)
    ) THEN
        PERFORM harness_worker.refuse('a file of evidence is not what its event says');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.guard_observation() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT harness_worker.trusted() AND NOT EXISTS (
        SELECT FROM events
        WHERE campaign = NEW.campaign AND seq = NEW.seq AND kind = 'observation' AND cell = NEW.cell
          AND number = NEW.number AND (data::jsonb) ->> 'suite' = NEW.suite AND (data::jsonb) ->> 'case' = NEW."case"
          AND (data::jsonb) ->> 'result' = NEW.result
    ) THEN
        PERFORM harness_worker.refuse('a result is not what its event says');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.note_made() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT harness_worker.trusted() THEN
        INSERT INTO harness_worker.made VALUES (NEW.kind, NEW.name, session_user);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER harness_worker_claim BEFORE INSERT OR UPDATE ON claims
    FOR EACH ROW EXECUTE FUNCTION harness_worker.guard_claim();
CREATE OR REPLACE TRIGGER harness_worker_made AFTER INSERT ON resources
    FOR EACH ROW EXECUTE FUNCTION harness_worker.note_made();
-- Looked at when a transaction ends: its events, and what follows from them, are written in any order.
DROP TRIGGER IF EXISTS harness_worker_event ON events;
CREATE CONSTRAINT TRIGGER harness_worker_event AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION harness_worker.guard_event();
DROP TRIGGER IF EXISTS harness_worker_chain ON chains;
CREATE CONSTRAINT TRIGGER harness_worker_chain AFTER UPDATE ON chains DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION harness_worker.guard_chain();
DROP TRIGGER IF EXISTS harness_worker_file ON files;
CREATE CONSTRAINT TRIGGER harness_worker_file AFTER INSERT ON files DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION harness_worker.guard_file();
DROP TRIGGER IF EXISTS harness_worker_observation ON observations;
CREATE CONSTRAINT TRIGGER harness_worker_observation AFTER INSERT ON observations DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION harness_worker.guard_observation();

-- --- which rows are seen and written ---

DO $$
DECLARE
    each record;
    own_table text;
BEGIN
    FOR each IN SELECT policyname, tablename FROM pg_policies
                WHERE schemaname = 'public' AND policyname LIKE 'harness\_worker\_%' LOOP
        EXECUTE format('DROP POLICY %I ON %I', each.policyname, each.tablename);
    END LOOP;
    FOREACH own_table IN ARRAY ARRAY['campaigns', 'attempts', 'observations', 'files', 'resources', 'events', 'chains',
        'claims', 'submissions', 'queues', 'workers', 'procrastinate_jobs', 'procrastinate_workers'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', own_table);
    END LOOP;
    FOREACH own_table IN ARRAY ARRAY['attempts', 'observations', 'files'] LOOP
        EXECUTE format('CREATE POLICY harness_worker_see ON %I FOR SELECT '
            'USING (campaign IN (SELECT harness_worker.mine()))', own_table);
    END LOOP;
    FOREACH own_table IN ARRAY ARRAY['events', 'chains'] LOOP
        EXECUTE format('CREATE POLICY harness_worker_see ON %I FOR SELECT '
            'USING (campaign = '''' OR campaign IN (SELECT harness_worker.mine()))', own_table);
    END LOOP;
END
$$;

CREATE POLICY harness_worker_see ON campaigns FOR SELECT USING (
    id IN (SELECT harness_worker.mine()) OR id IN (SELECT campaign FROM submissions WHERE state = 'queued')
);
CREATE POLICY harness_worker_close ON campaigns FOR UPDATE
    USING (finished IS NULL AND harness_worker.holds(id, '') AND harness_worker.all_ended(id))
    WITH CHECK (finished IS NOT NULL AND verdict IS NOT NULL AND harness_worker.holds(id, ''));
CREATE POLICY harness_worker_begin ON attempts FOR INSERT
    WITH CHECK (state = 'queued' AND verdict IS NULL AND harness_worker.holds(campaign, cell, token));
CREATE POLICY harness_worker_go_on ON attempts FOR UPDATE
    USING (state <> 'done' AND harness_worker.holds(campaign, cell))
    WITH CHECK (harness_worker.holds(campaign, cell, token));
CREATE POLICY harness_worker_observe ON observations FOR INSERT WITH CHECK (EXISTS (
    SELECT FROM attempts a
    WHERE a.campaign = observations.campaign AND a.cell = observations.cell AND a.number = observations.number
      AND a.state <> 'done' AND harness_worker.holds(a.campaign, a.cell, a.token)
));
CREATE POLICY harness_worker_keep ON files FOR INSERT WITH CHECK (
    CASE cell WHEN '' THEN harness_worker.holds_any(campaign) ELSE harness_worker.holds(campaign, cell) END
);
CREATE POLICY harness_worker_note ON events FOR INSERT
    WITH CHECK (harness_worker.may_note(campaign, cell, kind, data));
CREATE POLICY harness_worker_lengthen ON chains FOR UPDATE
    USING (campaign = '' OR campaign IN (SELECT harness_worker.mine()));
CREATE POLICY harness_worker_see ON resources FOR SELECT USING (EXISTS (
    SELECT FROM harness_worker.made_by_me() m WHERE m.kind = resources.kind AND m.name = resources.name
));
CREATE POLICY harness_worker_make ON resources FOR INSERT
    WITH CHECK (campaign = '' OR campaign IN (SELECT harness_worker.mine()));
CREATE POLICY harness_worker_change ON resources FOR UPDATE USING (EXISTS (
    SELECT FROM harness_worker.made_by_me() m WHERE m.kind = resources.kind AND m.name = resources.name
)) WITH CHECK (campaign = '' OR campaign IN (SELECT harness_worker.mine()));
CREATE POLICY harness_worker_claim ON claims
    USING (campaign IN (SELECT harness_worker.mine())) WITH CHECK (campaign IN (SELECT harness_worker.mine()));
CREATE POLICY harness_worker_see ON submissions FOR SELECT
    USING (state <> 'closed' OR campaign IN (SELECT harness_worker.mine()));
CREATE POLICY harness_worker_closed ON submissions FOR UPDATE
    USING (campaign IN (SELECT harness_worker.mine()))
    WITH CHECK (state = 'closed' AND harness_worker.closed(campaign));
CREATE POLICY harness_worker_see ON queues FOR SELECT USING (true);
CREATE POLICY harness_worker_own ON workers USING (name = session_user) WITH CHECK (name = session_user);
CREATE POLICY harness_worker_see ON procrastinate_jobs FOR SELECT USING (true);
-- A lock on a row needs the right to change it; it may be locked, and not changed.
CREATE POLICY harness_worker_lock ON procrastinate_jobs FOR UPDATE
    USING (harness_worker.own_job(id)) WITH CHECK (false);
CREATE POLICY harness_worker_see ON procrastinate_workers FOR SELECT USING (true);

-- --- the queue: procrastinate's functions, under their own names, for what is the worker's own ---

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_register_worker_v1() RETURNS TABLE (worker_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    SELECT r.worker_id INTO worker_id FROM public.procrastinate_register_worker_v1() r;
    INSERT INTO harness_worker.identities VALUES (worker_id, session_user);
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.own_identity(of_identity bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM harness_worker.identities WHERE identity = of_identity AND role = session_user
    ) THEN
        PERFORM harness_worker.refuse('the worker of the queue is another''s');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_unregister_worker_v1(worker_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM harness_worker.own_identity(worker_id);
    PERFORM public.procrastinate_unregister_worker_v1(worker_id);
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_update_heartbeat_v1(worker_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM harness_worker.own_identity(worker_id);
    PERFORM public.procrastinate_update_heartbeat_v1(worker_id);
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_fetch_job_v2(
    target_queue_names character varying[], p_worker_id bigint
) RETURNS public.procrastinate_jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    queues_open character varying[];
    found_job public.procrastinate_jobs;
BEGIN
    PERFORM harness_worker.own_identity(p_worker_id);
    SELECT array_agg(name) INTO queues_open FROM unnest(target_queue_names) AS name
    WHERE name LIKE 'close/%' OR EXISTS (
        SELECT FROM queues q JOIN submissions s ON s.campaign = q.campaign WHERE q.queue = name AND s.state = 'queued'
    );
    found_job := public.procrastinate_fetch_job_v2(coalesce(queues_open, '{}'), p_worker_id);
    IF found_job.id IS NOT NULL THEN
        INSERT INTO harness_worker.tasks
        VALUES (found_job.id, session_user, found_job.args ->> 'campaign', coalesce(found_job.args ->> 'cell', ''))
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN found_job;
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_finish_job_v1(
    job_id bigint, end_status public.procrastinate_job_status, delete_job boolean
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF delete_job OR NOT harness_worker.own_job(job_id) THEN
        PERFORM harness_worker.refuse('the job is not its own');
    END IF;
    PERFORM public.procrastinate_finish_job_v1(job_id, end_status, false);
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_retry_job_v2(
    job_id bigint, retry_at timestamptz, new_priority integer, new_queue_name character varying,
    new_lock character varying
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF coalesce(new_priority::text, new_queue_name, new_lock) IS NOT NULL OR NOT harness_worker.own_job(job_id) THEN
        PERFORM harness_worker.refuse('the job is not its own, or is to become another');
    END IF;
    -- Not in a hundred years: the campaign would never end.
    PERFORM public.procrastinate_retry_job_v2(
        job_id, least(coalesce(retry_at, clock_timestamp()), clock_timestamp() + interval '1 hour'), NULL, NULL, NULL
    );
END
$$;

CREATE OR REPLACE FUNCTION harness_worker.procrastinate_defer_jobs_v1(jobs public.procrastinate_job_to_defer_v1[])
RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    job public.procrastinate_job_to_defer_v1;
    of_campaign text;
BEGIN
    FOREACH job IN ARRAY jobs LOOP
        of_campaign := job.args ->> 'campaign';
        IF job.task_name <> 'close' OR job.queue_name NOT LIKE 'close/%'
            OR job.args <> jsonb_build_object('campaign', of_campaign)
            OR job.lock IS DISTINCT FROM 'close ' || of_campaign
            OR job.queueing_lock IS DISTINCT FROM 'close ' || of_campaign
            OR job.scheduled_at IS NOT NULL OR of_campaign NOT IN (SELECT harness_worker.mine())
            OR NOT harness_worker.all_ended(of_campaign)
            OR NOT EXISTS (
                SELECT FROM submissions WHERE campaign = of_campaign AND state IN ('queued', 'cancelled')
            ) THEN
            PERFORM harness_worker.refuse('only the closing of a campaign whose cells have ended is queued by workers');
        END IF;
    END LOOP;
    RETURN public.procrastinate_defer_jobs_v1(jobs);
END
$$;
