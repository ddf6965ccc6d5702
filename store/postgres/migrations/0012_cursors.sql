-- The cursors of webhooks, and the node that sends their messages.

CREATE TABLE cursors (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE cursor_claims (
    name text PRIMARY KEY,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);
