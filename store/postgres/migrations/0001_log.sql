-- The log. The events' table is that of the eventsourcing library's application recorder, with the envelope beside it:
-- a program made with that library can read and follow it.

CREATE TABLE stored_events (
    notification_id bigint PRIMARY KEY, -- the position
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    origin text NOT NULL,
    token uuid,
    correlation uuid,
    causation uuid,
    reason text,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (originator_id, originator_version)
);

CREATE TABLE keys (
    key text PRIMARY KEY,
    request text NOT NULL,
    subject uuid NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are kept as they are: no %', TG_TABLE_NAME, lower(TG_OP);
END $$;

CREATE TRIGGER stored_events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER keys_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

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
    commands int[], streams uuid[], versions bigint[], heads bytea[], -- where a command takes which stream to be
    key_commands int[], key_names text[], requests text[], subjects uuid[],
    event_commands int[], -- the events' own, in their order
    originator_ids uuid[], originator_versions bigint[], topics text[], states bytea[], ids uuid[],
    times timestamptz[], actors text[], origins text[], tokens uuid[], correlations uuid[], causations uuid[],
    reasons text[], previouses bytea[], hashes bytea[]
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

    IF cardinality(key_names) > 0 THEN
        outcome := 'known';
        FOR command, stream, version, "position", request IN
            SELECT k.command, keys.subject, keys.version, keys.position, keys.request
            FROM unnest(key_commands, key_names) AS k (command, key) JOIN keys USING (key)
        LOOP
            silent := silent || command;
            RETURN NEXT;
        END LOOP;
    END IF;

    outcome := 'moved';
    FOR command, stream, version IN
        SELECT DISTINCT ON (c.command) c.command, c.stream, coalesce(head.version, 0)
        FROM unnest(commands, streams, versions, heads) WITH ORDINALITY AS c (command, stream, version, hash, number)
        LEFT JOIN LATERAL (
            SELECT e.originator_version AS version, e.hash FROM stored_events e
            WHERE e.originator_id = c.stream ORDER BY e.originator_version DESC LIMIT 1
        ) AS head ON true
        WHERE c.command <> ALL (silent)
            AND (c.version, c.hash) IS DISTINCT FROM (coalesce(head.version, 0), coalesce(head.hash, ''))
        ORDER BY c.command, c.number
    LOOP
        silent := silent || command;
        RETURN NEXT;
    END LOOP;

    IF cardinality(key_names) > 0 THEN
        RETURN QUERY
            INSERT INTO keys (key, request, subject, version, position)
            SELECT k.key, k.request, k.subject,
                coalesce(
                    (SELECT max(e.version) FROM unnest(event_commands, originator_ids, originator_versions)
                        AS e (command, stream, version) WHERE e.command = k.command AND e.stream = k.subject),
                    (SELECT max(e.originator_version) FROM stored_events e WHERE e.originator_id = k.subject),
                    0
                ),
                base + (SELECT count(*) FROM unnest(event_commands) AS e (command)
                    WHERE e.command <= k.command AND e.command <> ALL (silent))
            FROM unnest(key_commands, key_names, requests, subjects) AS k (command, key, request, subject)
            WHERE k.command <> ALL (silent)
            RETURNING 'kept', NULL::int, keys.subject, keys.version, keys.position, keys.key;
    END IF;

    INSERT INTO stored_events (
        notification_id, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash
    )
    SELECT base + row_number() OVER (), e.originator_id, e.originator_version, e.topic, e.state, e.id,
        e.recorded_at, e.actor, e.origin, e.token, e.correlation, e.causation, e.reason, e.previous, e.hash
    FROM unnest(
        event_commands, originator_ids, originator_versions, topics, states, ids, times,
        actors, origins, tokens, correlations, causations, reasons, previouses, hashes
    ) WITH ORDINALITY AS e (
        command, originator_id, originator_version, topic, state, id, recorded_at,
        actor, origin, token, correlation, causation, reason, previous, hash, number
    )
    WHERE e.command <> ALL (silent);
    IF FOUND THEN
        PERFORM pg_notify('stored_events', ''); -- where the eventsourcing library's followers listen, too
    END IF;
END $$;
