from tests.browser import browser
from tests.postgres import database, postgres, server

__all__ = ["browser", "database", "postgres", "server"]
