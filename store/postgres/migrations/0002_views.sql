-- The read models: all of it can be made again from the log.

CREATE TABLE checkpoints (
    kind text PRIMARY KEY,
    version bigint NOT NULL,
    generation bigint NOT NULL,
    epoch text NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL
);

CREATE TABLE generations (generation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL);

CREATE TABLE documents (
    generation bigint NOT NULL,
    key uuid NOT NULL,
    parent text,
    sort text COLLATE "C", -- by code points
    position bigint NOT NULL,
    document bytea NOT NULL,
    tags text[],
    -- a column, so that it has statistics: by them a list is walked for a frequent tag, and looked up for a rare one
    tagged tsvector GENERATED ALWAYS AS (array_to_tsvector(tags)) STORED,
    PRIMARY KEY (generation, key)
);
CREATE INDEX documents_by_place ON documents (generation, parent, sort, key) WHERE parent IS NOT NULL;
CREATE INDEX documents_by_tag ON documents USING gin (tagged);

CREATE TABLE parked (
    generation bigint NOT NULL,
    position bigint NOT NULL,
    stream uuid NOT NULL,
    name text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (generation, position)
);

-- Who may write them until when; the token grows with every new holder, and what an earlier one writes is refused.
CREATE TABLE leases (
    name text PRIMARY KEY,
    token bigint NOT NULL,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);
