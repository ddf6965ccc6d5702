-- The same `append`, which is asked with arrays of rows instead of an array for each column: a batch is read and taken
-- apart at half the cost.

DROP FUNCTION append(
    int[], uuid[], bigint[], bytea[], int[], text[], text[], uuid[], int[], uuid[], bigint[], text[], bytea[], uuid[],
    timestamptz[], text[], text[], uuid[], uuid[], uuid[], text[], bytea[], bytea[]
);

CREATE TYPE believed AS (command int, stream uuid, version bigint, hash bytea);
CREATE TYPE keyed AS (command int, key text, request text, subject uuid);

-- Carries out a batch of commands, numbered from 1, each as if it came after the one before. No stream or key that a
-- command names is written by one before it in the same batch. A command is refused by itself: when a stream is not
-- at the version, or doesn't end with the hash, that it was taken to have. It answers with
--
--     base    the log's last position before the batch
--     known   the command's key was there already, with that subject, version, position and request
--     moved   the stream that is not where it was taken to be, and its version
--     kept    the command's key is kept now, with that subject and version
--
-- READ COMMITTED only: every statement has to see what was committed before the lock was had.
CREATE FUNCTION append(
    heads believed[], -- where a command takes which stream to be
    keys keyed[],
    commands int[], events stored_events[] -- in their order, and whose each is; their positions are given here
) RETURNS TABLE (outcome text, command int, stream uuid, version bigint, "position" bigint, request text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    base bigint;
    silent int[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(7263, 1);
    SELECT coalesce(max(e.notification_id), 0) INTO base FROM stored_events e;
    outcome := 'base';
    "position" := base;
    RETURN NEXT;

    IF cardinality(keys) > 0 THEN
        outcome := 'known';
        FOR command, stream, version, "position", request IN
            SELECT k.command, known.subject, known.version, known.position, known.request
            FROM unnest(keys) AS k JOIN keys AS known USING (key)
        LOOP
            silent := silent || command;
            RETURN NEXT;
        END LOOP;
    END IF;

    outcome := 'moved';
    FOR command, stream, version IN
        SELECT DISTINCT ON (c.command) c.command, c.stream, coalesce(
            head.version,
            (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = c.stream),
            0
        )
        FROM unnest(heads) WITH ORDINALITY AS c (command, stream, version, hash, number)
        LEFT JOIN LATERAL (
            SELECT e.originator_version AS version, e.hash FROM stored_events e
            WHERE e.originator_id = c.stream
                AND e.originator_version >= c.version -- so that no more of the index than the last entry is read
            ORDER BY e.originator_version DESC LIMIT 1
        ) AS head ON true
        WHERE c.command <> ALL (silent)
            AND (c.version, c.hash) IS DISTINCT FROM (coalesce(head.version, 0), coalesce(head.hash, ''))
        ORDER BY c.command, c.number
    LOOP
        silent := silent || command;
        RETURN NEXT;
    END LOOP;

    IF cardinality(keys) > 0 THEN
        RETURN QUERY
            INSERT INTO keys AS kept (key, request, subject, version, position)
            SELECT k.key, k.request, k.subject,
                coalesce(
                    (SELECT max(e.originator_version) FROM unnest(commands, events) AS e (
                        command, notification_id, originator_id, originator_version, topic, state, id, recorded_at,
                        actor, origin, token, correlation, causation, reason, previous, hash
                    ) WHERE e.command = k.command AND e.originator_id = k.subject),
                    (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = k.subject),
                    0
                ),
                base + (SELECT count(*) FROM unnest(commands) AS e (command)
                    WHERE e.command <= k.command AND e.command <> ALL (silent))
            FROM unnest(keys) AS k
            WHERE k.command <> ALL (silent)
            RETURNING 'kept', NULL::int, kept.subject, kept.version, kept.position, kept.key;
    END IF;

    INSERT INTO stored_events (
        notification_id, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash
    )
    SELECT base + row_number() OVER (), e.originator_id, e.originator_version, e.topic, e.state, e.id,
        e.recorded_at, e.actor, e.origin, e.token, e.correlation, e.causation, e.reason, e.previous, e.hash
    FROM unnest(commands, events) AS e (
        command, notification_id, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash
    )
    WHERE e.command <> ALL (silent);
    IF FOUND THEN
        PERFORM pg_notify('stored_events', ''); -- where the eventsourcing library's followers listen, too
    END IF;
END $$;
