-- Which worker drives which deployment. It is applied at every start, and changes nothing that is there already.
--
-- A deployment's job is deferred by the append that admits it, in its transaction: there is no moment at which one is
-- there and not the other, whichever node writes.

CREATE TABLE IF NOT EXISTS machines (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    seen_at timestamptz NOT NULL
);

-- The machine that an environment's processes run on.
CREATE TABLE IF NOT EXISTS homes (
    environment uuid PRIMARY KEY,
    machine uuid NOT NULL REFERENCES machines
);

-- The name of the machine before, which is gone, until it is said that what ran there is begun anew.
ALTER TABLE homes ADD COLUMN IF NOT EXISTS lost text;

-- A job is fetched when no other has its lock. procrastinate's own index leads with the id: it is gone through from end
-- to end for each job that waits, and is taken for as good as this one while the table is believed to be empty.
CREATE INDEX IF NOT EXISTS jobs_by_lock ON procrastinate_jobs (lock);
DROP INDEX IF EXISTS procrastinate_jobs_id_lock_idx_v1;

-- A job's ups and downs would be gone with it, and are in the log.
ALTER TABLE procrastinate_jobs DISABLE TRIGGER procrastinate_trigger_status_events_insert_v1;
ALTER TABLE procrastinate_jobs DISABLE TRIGGER procrastinate_trigger_status_events_update_v1;

-- A machine's own queue. (A channel's name may be 63 characters long, and procrastinate's own part is 23 of them.)
CREATE OR REPLACE FUNCTION queue_of(machine uuid) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT replace(machine::text, '-', '') $$;

CREATE OR REPLACE FUNCTION defer_deployment(admitted uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    planned json := (
        SELECT convert_from(e.state, 'UTF8') FROM stored_events e
        WHERE e.originator_id = admitted AND e.topic = 'deployment.DeploymentPlanned' LIMIT 1
    );
    place uuid := planned ->> 'environment';
    queue text := lower(planned -> 'plan' ->> 'target');
BEGIN
    IF queue = 'process' THEN
        queue := coalesce((SELECT queue_of(machine) FROM homes WHERE environment = place), queue);
    END IF;
    PERFORM procrastinate_defer_jobs_v1(ARRAY[
        ROW(queue, 'drive', 0, place::text, NULL, jsonb_build_object('deployment', admitted), NULL)
    ]::procrastinate_job_to_defer_v1[]);
END $$;

CREATE OR REPLACE FUNCTION defer_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM defer_deployment((convert_from(NEW.state, 'UTF8')::json ->> 'deployment')::uuid);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER deployments_are_deferred AFTER INSERT ON stored_events
    FOR EACH ROW WHEN (NEW.topic = 'queue.DeploymentAdmitted') EXECUTE FUNCTION defer_deployment();

-- Workers are told of new jobs only; this tells them of those that may be fetched again, or now that a lock is free.
CREATE OR REPLACE FUNCTION tell_workers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(
        'procrastinate_queue_v1#' || j.queue_name, json_build_object('type', 'job_inserted', 'job_id', j.id)::text
    ) FROM procrastinate_jobs j WHERE j.lock = OLD.lock AND j.status::text = 'todo'; -- else all that wait are gone through
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER workers_are_told_of_freed_locks AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW EXECUTE FUNCTION tell_workers();
CREATE OR REPLACE TRIGGER workers_are_told_of_freed_jobs AFTER UPDATE OF status, queue_name ON procrastinate_jobs
    FOR EACH ROW WHEN (NEW.status = 'todo') EXECUTE FUNCTION tell_workers();

-- Says that *machine* lives; whether it was away for longer than *gone*. Time in which nobody at all is heard of counts
-- for no machine: then the database is what is away, and whoever finds it first would take all others for gone.
CREATE OR REPLACE FUNCTION greet(machine uuid, called text, gone interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    silence CONSTANT interval := '10 s';
    was_gone boolean;
BEGIN
    IF (SELECT max(seen_at) FROM machines) < now() - silence THEN
        LOCK TABLE machines IN SHARE ROW EXCLUSIVE MODE; -- several may find it at once, and have looked already
        UPDATE machines SET seen_at = seen_at + (now() - newest) FROM (SELECT max(seen_at) AS newest FROM machines) AS m
            WHERE newest < now() - silence;
    END IF;
    was_gone := coalesce((SELECT seen_at < now() - gone FROM machines WHERE id = machine), false);
    INSERT INTO machines VALUES (machine, called, now())
        ON CONFLICT (id) DO UPDATE SET name = called, seen_at = now();
    RETURN was_gone;
END $$;

-- Hands on what stalled workers drive, and what waits for machines that are gone: the deployments that are handed on,
-- with the machine that each has to wait for, if that is another than *here*.
CREATE OR REPLACE FUNCTION hand_on(here uuid, stalled interval, gone interval)
    RETURNS TABLE (deployment text, machine text) LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(7263, 2) THEN -- another worker is about it
        RETURN;
    END IF;
    UPDATE procrastinate_jobs j SET queue_name = 'process'
        FROM machines m WHERE j.status = 'todo' AND j.queue_name = queue_of(m.id) AND m.seen_at < now() - gone;
    RETURN QUERY
        WITH handed_on AS (
            UPDATE procrastinate_jobs j SET status = 'todo', attempts = j.attempts + 1, worker_id = NULL
                WHERE j.status = 'doing' AND NOT EXISTS (
                    SELECT FROM procrastinate_workers w WHERE w.id = j.worker_id AND w.last_heartbeat > now() - stalled
                )
                RETURNING j.args ->> 'deployment' AS deployment, j.queue_name
        )
        SELECT h.deployment, m.name FROM handed_on h
        LEFT JOIN machines m ON h.queue_name = queue_of(m.id) AND m.id <> here;
END $$;

-- Has the environment of *job* live on *machine*, unless it lives on another that isn't gone; where it lives now, and
-- the name of the machine that it lived on before, if that is gone and it isn't said yet.
CREATE OR REPLACE FUNCTION settle(job bigint, place uuid, here uuid, gone interval, OUT home uuid, OUT lost text)
    LANGUAGE plpgsql AS $$
DECLARE
    before record;
BEGIN
    SELECT m.*, h.lost INTO before FROM homes h JOIN machines m ON m.id = h.machine WHERE h.environment = place;
    home := here;
    lost := before.lost;
    IF before.id <> here AND before.seen_at > now() - gone THEN
        home := before.id;
    ELSIF before.id <> here THEN
        lost := before.name;
    END IF;
    IF before.id IS DISTINCT FROM home THEN
        INSERT INTO homes VALUES (place, home, lost)
            ON CONFLICT (environment) DO UPDATE SET machine = excluded.machine, lost = excluded.lost;
    END IF;
    UPDATE procrastinate_jobs SET queue_name = queue_of(home) WHERE id = job AND queue_name <> queue_of(home);
END $$;

-- Has *worker* do so many jobs at *most*; those that are for processes are settled *here*, as above. It is what
-- procrastinate_fetch_job_v2 does, for several at once; that has all that wait sorted for every job, and looks at the
-- time that a job is to be done at, which is always now.
CREATE OR REPLACE FUNCTION fetch_jobs(queues varchar[], worker bigint, most int, here uuid, gone interval)
    RETURNS TABLE (job procrastinate_jobs, home uuid, lost text) LANGUAGE plpgsql AS $$
DECLARE
    free bigint[] := array(
        SELECT j.id FROM procrastinate_jobs j
        WHERE j.status = 'todo' AND j.queue_name = ANY (queues) AND NOT EXISTS (
            SELECT FROM procrastinate_jobs other WHERE other.lock = j.lock AND (
                other.status = 'doing' OR other.status = 'todo' AND (other.priority, j.id) > (j.priority, other.id)
            )
        )
        ORDER BY j.priority DESC, j.id LIMIT most FOR UPDATE SKIP LOCKED
    );
BEGIN
    FOR job IN
        UPDATE procrastinate_jobs j SET status = 'doing', worker_id = worker WHERE j.id = ANY (free) RETURNING j.*
    LOOP
        home := NULL;
        lost := NULL;
        IF job.queue_name IN ('process', queue_of(here)) THEN
            SELECT s.home, s.lost INTO home, lost FROM settle(job.id, job.lock::uuid, here, gone) AS s;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Has *here* be the machine of all environments whose processes ran on it before their log came into this database, and
-- defers what was under way then.
CREATE OR REPLACE FUNCTION take_over(here uuid, called text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO machines VALUES (here, called, now()) ON CONFLICT (id) DO UPDATE SET seen_at = now();
    INSERT INTO homes
        SELECT DISTINCT (planned ->> 'environment')::uuid, here FROM (
            SELECT convert_from(e.state, 'UTF8')::json AS planned FROM stored_events e
            WHERE e.topic = 'deployment.DeploymentPlanned'
        ) AS plans WHERE planned -> 'plan' ->> 'target' = 'PROCESS';
    PERFORM defer_deployment((convert_from(open.state, 'UTF8')::json ->> 'deployment')::uuid) FROM (
        SELECT e.state FROM stored_events e WHERE e.topic = 'queue.DeploymentAdmitted'
        EXCEPT SELECT e.state FROM stored_events e WHERE e.topic = 'queue.DeploymentClosed'
    ) AS open;
END $$;
