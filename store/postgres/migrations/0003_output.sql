-- What steps print: lines in chunks, the JSON lists of their texts, numbered within their deployment. Text may hold any
-- character here: a column of PostgreSQL's own text refuses NUL.

CREATE TABLE output_chunks (
    deployment uuid NOT NULL,
    last bigint NOT NULL,
    first bigint NOT NULL,
    service uuid NOT NULL,
    phase text NOT NULL,
    attempt int NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    texts bytea NOT NULL,
    PRIMARY KEY (deployment, last)
);
CREATE INDEX output_chunks_of_service ON output_chunks (deployment, service, last);

CREATE TABLE output_attempts (
    deployment uuid NOT NULL,
    service uuid NOT NULL,
    phase text NOT NULL,
    attempt int NOT NULL,
    upto bigint NOT NULL,
    lines bigint NOT NULL,
    bytes bigint NOT NULL,
    is_cut boolean NOT NULL,
    PRIMARY KEY (deployment, service, phase, attempt)
);
