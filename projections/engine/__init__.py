"""The engine that keeps read models equal to the log. It knows no noun and no database."""
