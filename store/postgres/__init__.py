"""The event log in PostgreSQL, for any number of nodes."""
