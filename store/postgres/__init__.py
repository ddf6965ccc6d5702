"""The event log, the output and the keys in PostgreSQL, for any number of nodes."""
