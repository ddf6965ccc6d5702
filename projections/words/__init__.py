"""
Words and subject of every event, with the names that things had at the time.

Each event has one case, which gives both. The type checker names an event without a case.
"""
