"""What the program tells its operator while it runs: lines on stderr."""

import logging
import sys
import warnings

from runner.jobs import is_news
from server.settings import Settings


def begin(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(is_news)
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s  %(message)s", handlers=[handler])
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of every job
    logging.getLogger("strawberry.ws").setLevel(
        logging.ERROR
    )  # `server.websocket` logs each refused origin, with a limit
    # graphql-core leaves some of what is cancelled before it began
    warnings.filterwarnings("ignore", r"coroutine '(Executor|GraphQLCoreConverter)\.", RuntimeWarning)
