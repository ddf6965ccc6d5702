"""Webhooks: messages about events of the log, sent to addresses of the users."""
