"""The store of read models on SQLite."""
