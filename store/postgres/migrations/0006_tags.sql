-- Tags are kept once, as they are looked up. They were an array besides, from which that was made for every row.
-- Neither statement goes through the rows.

ALTER TABLE documents ALTER COLUMN tagged DROP EXPRESSION;
ALTER TABLE documents DROP COLUMN tags;
