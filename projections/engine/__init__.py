"""The machinery that keeps every read model equal to the log."""
