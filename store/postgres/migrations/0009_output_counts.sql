-- What the counts of a deployment's output need without reading its lines, and lines that have no end yet. The columns
-- first, last and failure hold numbers of lines, 0 for none.

ALTER TABLE output_attempts
    ADD COLUMN notes bigint NOT NULL DEFAULT 0,
    ADD COLUMN first bigint NOT NULL DEFAULT 0,
    ADD COLUMN last bigint NOT NULL DEFAULT 0,
    ADD COLUMN failure bigint NOT NULL DEFAULT 0;

INSERT INTO output_attempts (deployment, service, phase, attempt, upto, lines, bytes, is_cut, notes, first, last, failure)
SELECT deployment, service, phase, attempt, 0, 0, 0, false,
    coalesce(sum(last - first + 1) FILTER (WHERE kind = 'NOTE'), 0), min(first), max(last),
    coalesce(min(first) FILTER (
        WHERE kind = 'NOTE' AND (convert_from(texts, 'UTF8') LIKE '["failed: %'
            OR convert_from(texts, 'UTF8') LIKE '["attempt % failed: %')
    ), 0)
FROM output_chunks GROUP BY deployment, service, phase, attempt
ON CONFLICT (deployment, service, phase, attempt) DO UPDATE
SET notes = excluded.notes, first = excluded.first, last = excluded.last, failure = excluded.failure;

CREATE TABLE output_unfinished (
    deployment uuid NOT NULL,
    service uuid NOT NULL,
    phase text NOT NULL,
    attempt int NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (deployment, service, phase, attempt)
);
