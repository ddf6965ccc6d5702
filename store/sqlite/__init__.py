"""The event log, the output and the keys in SQLite files."""
