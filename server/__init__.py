"""The server: where the parts are put together, started and stopped."""
