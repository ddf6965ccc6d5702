-- The assignment of deployments to workers. The script is idempotent: it runs when its version or hash has changed.
--
-- The append that admits a deployment defers its job in the same transaction, so neither exists without the other.
-- Workers of the previous version may be running: functions keep their names and parameters.

CREATE TABLE IF NOT EXISTS machines (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    seen_at timestamptz NOT NULL
);

-- The machine that an environment is bound to, if its target is local.
CREATE TABLE IF NOT EXISTS homes (
    environment uuid PRIMARY KEY,
    machine uuid NOT NULL REFERENCES machines
);

-- The name of the lost machine that the environment was bound to before, until the restart of its steps is noted.
ALTER TABLE homes ADD COLUMN IF NOT EXISTS lost text;

-- The workers, by the name that is recorded with their deployments. Those that stop remove themselves.
CREATE TABLE IF NOT EXISTS workers (
    name text PRIMARY KEY,
    machine uuid NOT NULL REFERENCES machines,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

-- A job can be fetched when no other job has its lock. procrastinate's own index leads with the id, so finding the lock
-- scans the whole index for each waiting job. While the statistics say the table is empty, the planner may choose it.
CREATE INDEX IF NOT EXISTS jobs_by_lock ON procrastinate_jobs (lock);
DROP INDEX IF EXISTS procrastinate_jobs_id_lock_idx_v1;

-- procrastinate's history of a job is deleted with the job. The log has that history.
ALTER TABLE procrastinate_jobs DISABLE TRIGGER procrastinate_trigger_status_events_insert_v1;
ALTER TABLE procrastinate_jobs DISABLE TRIGGER procrastinate_trigger_status_events_update_v1;

-- The queue of one machine. (A channel's name has at most 63 characters; procrastinate's prefix takes 23 of them.)
CREATE OR REPLACE FUNCTION queue_of(machine uuid) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT replace(machine::text, '-', '') $$;

-- The targets that workers have declared, by their names in lower case. A local one runs services on the worker's own
-- machine, so an environment is bound to one machine. All workers must agree; the last declaration counts.
CREATE TABLE IF NOT EXISTS targets (
    name text PRIMARY KEY,
    is_local boolean NOT NULL
);

-- Whether a target is local. One that no worker has declared is not; the first worker that fetches its job has.
CREATE OR REPLACE FUNCTION is_local(target text) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT coalesce((SELECT t.is_local FROM targets t WHERE t.name = lower(target)), false) $$;

CREATE OR REPLACE FUNCTION declare_target(target text, local boolean) RETURNS void LANGUAGE sql AS $$
    INSERT INTO targets VALUES (lower(target), local)
        ON CONFLICT (name) DO UPDATE SET is_local = excluded.is_local WHERE targets.is_local <> excluded.is_local
$$;

CREATE OR REPLACE FUNCTION plan_of(deployment uuid) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT convert_from(e.state, 'UTF8')::json FROM stored_events e
    WHERE e.originator_id = deployment AND e.topic = 'deployment.DeploymentPlanned' LIMIT 1
$$;

-- The queue of a planned deployment that is bound to no machine: the target's name.
CREATE OR REPLACE FUNCTION shared_queue(planned json) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT lower(planned -> 'plan' ->> 'target') $$;

-- Before targets were declared, only environments of local ones were bound: their targets are local.
INSERT INTO targets
    SELECT DISTINCT shared_queue(convert_from(e.state, 'UTF8')::json), true FROM stored_events e
    WHERE e.topic = 'deployment.DeploymentPlanned' AND NOT EXISTS (SELECT FROM targets)
        AND (convert_from(e.state, 'UTF8')::json ->> 'environment')::uuid IN (SELECT environment FROM homes)
    ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION defer_deployment(admitted uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    planned json := plan_of(admitted);
    place uuid := planned ->> 'environment';
    queue text := shared_queue(planned);
BEGIN
    IF is_local(queue) THEN
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

-- procrastinate notifies workers of new jobs only. This also notifies them of retried jobs and of released locks.
CREATE OR REPLACE FUNCTION tell_workers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(
        'procrastinate_queue_v1#' || j.queue_name, json_build_object('type', 'job_inserted', 'job_id', j.id)::text
    ) FROM procrastinate_jobs j WHERE j.lock = OLD.lock AND j.status::text = 'todo'; -- as text, an index is used
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER workers_are_told_of_freed_locks AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW EXECUTE FUNCTION tell_workers();
CREATE OR REPLACE TRIGGER workers_are_told_of_freed_jobs AFTER UPDATE OF status, queue_name ON procrastinate_jobs
    FOR EACH ROW WHEN (NEW.status = 'todo') EXECUTE FUNCTION tell_workers();

-- Record a heartbeat of *machine*; return whether it was silent for longer than *gone*. Time without a heartbeat of any
-- machine is not counted: then the database was away, and the first machine to return would take all others for lost.
CREATE OR REPLACE FUNCTION greet(machine uuid, called text, gone interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    silence CONSTANT interval := '10 s';
    was_gone boolean;
BEGIN
    IF (SELECT max(seen_at) FROM machines) < now() - silence THEN
        LOCK TABLE machines IN SHARE ROW EXCLUSIVE MODE; -- several workers may detect it at once
        UPDATE machines SET seen_at = seen_at + (now() - newest) FROM (SELECT max(seen_at) AS newest FROM machines) AS m
            WHERE newest < now() - silence;
    END IF;
    was_gone := coalesce((SELECT seen_at < now() - gone FROM machines WHERE id = machine), false);
    INSERT INTO machines VALUES (machine, called, now())
        ON CONFLICT (id) DO UPDATE SET name = called, seen_at = now();
    RETURN was_gone;
END $$;

-- Record a heartbeat of *worker* on *home*, and forget the workers that have been silent for a day.
CREATE OR REPLACE FUNCTION report_worker(worker text, home uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE workers SET seen_at = now() WHERE name = worker;
    IF NOT FOUND THEN
        DELETE FROM workers WHERE seen_at < now() - interval '1 day';
        INSERT INTO workers VALUES (worker, home, now(), now());
    END IF;
END $$;

-- Release the jobs of stalled workers, and the jobs that wait for lost machines. Return the released deployments, each
-- with the name of the machine that it is bound to, if that is not *here*.
CREATE OR REPLACE FUNCTION hand_on(here uuid, stalled interval, gone interval)
    RETURNS TABLE (deployment text, machine text) LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(7263, 2) THEN -- another worker does it
        RETURN;
    END IF;
    UPDATE procrastinate_jobs j SET queue_name = shared_queue(plan_of((j.args ->> 'deployment')::uuid))
        FROM machines m WHERE j.status = 'todo' AND j.queue_name = queue_of(m.id) AND m.seen_at < now() - gone
            AND shared_queue(plan_of((j.args ->> 'deployment')::uuid)) IS NOT NULL; -- it is, once the plan is archived
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

-- Bind the environment *place* of *job* to the machine *here*, unless it is bound to another machine that is not lost.
-- Return its machine, and the name of the lost machine that it was bound to before, if that is not noted yet.
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

-- Assign at *most* so many jobs to *worker*, and bind those of local targets to the machine *here*, as above. This does
-- for several jobs what procrastinate_fetch_job_v2 does for one, without its scheduled times.
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
        IF is_local(job.queue_name) OR job.queue_name = queue_of(here) THEN
            SELECT s.home, s.lost INTO home, lost FROM settle(job.id, job.lock::uuid, here, gone) AS s;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Bind to the machine *here* all environments whose log was moved into this database, and defer the open deployments.
-- That of a target that is not local has no effect.
CREATE OR REPLACE FUNCTION take_over(here uuid, called text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO machines VALUES (here, called, now()) ON CONFLICT (id) DO UPDATE SET seen_at = now();
    INSERT INTO homes
        SELECT DISTINCT (planned ->> 'environment')::uuid, here FROM (
            SELECT convert_from(e.state, 'UTF8')::json AS planned FROM stored_events e
            WHERE e.topic = 'deployment.DeploymentPlanned'
        ) AS plans;
    PERFORM defer_deployment(open.deployment::uuid) FROM (
        SELECT convert_from(e.state, 'UTF8')::json ->> 'deployment' AS deployment FROM stored_events e
            WHERE e.topic = 'queue.DeploymentAdmitted'
        EXCEPT SELECT convert_from(e.state, 'UTF8')::json ->> 'deployment' FROM stored_events e
            WHERE e.topic = 'queue.DeploymentClosed'
    ) AS open;
END $$;
