from tests.postgres import database, postgres, server

__all__ = ["database", "postgres", "server"]
