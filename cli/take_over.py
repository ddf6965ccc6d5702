"""`stageline take-over`."""

from cli import lazy
from cli.data import Data, data_folder


def take_over(data: Data = None) -> None:
    """Let a restored copy send webhooks, and go on with deployments. Its server may run meanwhile.

    A server that was restored from a backup does neither, since the original may still run. End that first.
    """
    lazy.restored.take_over(data_folder(data))
