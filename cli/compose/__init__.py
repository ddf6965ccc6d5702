"""Compose files, read without Docker: parsed, merged, and turned into a pipeline document."""
