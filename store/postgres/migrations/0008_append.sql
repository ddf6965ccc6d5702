-- The same `append`, whose every look into a table ends where it has found what it wants, whatever the database believes
-- of the table's size: planned over an empty one, `max` and joins go through all of an index later. All events of a batch
-- have one time, which is sent once.

DROP FUNCTION append(believed[], keyed[], stored_events[]);

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
    events stored_events[], -- in their order, with their commands for positions: those are given here
    at timestamptz -- when all of them are recorded
) RETURNS TABLE (outcome text, command int, stream uuid, version bigint, "position" bigint, request text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    base bigint;
    moved believed[];
    head believed;
    silent int[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(7263, 1);
    SELECT
        coalesce((SELECT e.notification_id FROM stored_events e ORDER BY e.notification_id DESC LIMIT 1), 0),
        (
            SELECT array_agg(c) FROM unnest(heads) AS c
            LEFT JOIN LATERAL (
                SELECT e.originator_version AS version, e.hash FROM stored_events e
                WHERE e.originator_id = c.stream
                    AND e.originator_version >= c.version -- so that no more of the index than the last entry is read
                ORDER BY e.originator_version DESC LIMIT 1
            ) AS last ON true
            WHERE c.version <> coalesce(last.version, 0) OR c.hash <> coalesce(last.hash, '')
        )
    INTO base, moved;
    outcome := 'base';
    "position" := base;
    RETURN NEXT;

    IF cardinality(keys) > 0 THEN
        outcome := 'known';
        FOR command, stream, version, "position", request IN
            SELECT k.command, known.subject, known.version, known.position, known.request
            FROM unnest(keys) AS k
            CROSS JOIN LATERAL (SELECT * FROM keys AS known WHERE known.key = k.key LIMIT 1) AS known
        LOOP
            silent := silent || command;
            RETURN NEXT;
        END LOOP;
    END IF;

    outcome := 'moved';
    FOREACH head IN ARRAY coalesce(moved, '{}') LOOP
        CONTINUE WHEN head.command = ANY (silent); -- it is told of the first of its streams
        command := head.command;
        stream := head.stream;
        version := coalesce(
            (SELECT e.originator_version FROM stored_events e
                WHERE e.originator_id = head.stream ORDER BY e.originator_version DESC LIMIT 1),
            0
        );
        silent := silent || command;
        RETURN NEXT;
    END LOOP;
    IF silent <> '{}' THEN
        events := array(SELECT e FROM unnest(events) AS e WHERE e.notification_id <> ALL (silent));
    END IF;

    IF cardinality(keys) > 0 THEN
        RETURN QUERY
            INSERT INTO keys AS kept (key, request, subject, version, position)
            SELECT k.key, k.request, k.subject,
                coalesce(
                    (SELECT max(e.originator_version) FROM unnest(events) AS e
                        WHERE e.notification_id = k.command AND e.originator_id = k.subject),
                    (SELECT e.originator_version FROM stored_events e
                        WHERE e.originator_id = k.subject ORDER BY e.originator_version DESC LIMIT 1),
                    0
                ),
                base + (SELECT count(*) FROM unnest(events) AS e WHERE e.notification_id <= k.command)
            FROM unnest(keys) AS k
            WHERE k.command <> ALL (silent)
            RETURNING 'kept', NULL::int, kept.subject, kept.version, kept.position, kept.key;
    END IF;

    INSERT INTO stored_events (
        notification_id, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash
    )
    SELECT base + e.number, e.originator_id, e.originator_version, e.topic, e.state, e.id,
        at, e.actor, e.origin, e.token, e.correlation, e.causation, e.reason, e.previous, e.hash
    FROM unnest(events) WITH ORDINALITY AS e (
        command, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash, number
    );
    IF FOUND THEN
        PERFORM pg_notify('stored_events', ''); -- where the eventsourcing library's followers listen, too
    END IF;
END $$;
