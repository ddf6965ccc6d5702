"""Hostile requests against a real server, a heartbeat beside them, and the proof that nobody noticed."""
