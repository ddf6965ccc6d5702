"""Read models stored in SQLite."""
