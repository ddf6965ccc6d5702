"""
The advisory locks of the database, each held until the end of a transaction, unless the table says more.

| numbers | lock | taken by |
|---|---|---|
| 7263, 0 | the tables and the table `meta` | `LOCK_TABLES` |
| 7263, 1 | the log's last position | the function `append` (see migrations/), and `LOCK_APPENDS` |
| 7263, 2 | the jobs of stalled workers | the function `hand_on` (see runner/jobs.sql) |
| 7263, 3 | the archive; until the end of a connection | `TRY_LOCK_ARCHIVE` |
| 7264, hash of a deployment's id | the numbers of its output lines | `LOCK_OUTPUT` |
"""

LOCK_TABLES = "SELECT pg_advisory_xact_lock(7263, 0)"
LOCK_APPENDS = "SELECT pg_advisory_xact_lock(7263, 1)"
TRY_LOCK_ARCHIVE = "SELECT pg_try_advisory_lock(7263, 3)"
LOCK_OUTPUT = "SELECT pg_advisory_xact_lock(7264, hashtext($1))"
