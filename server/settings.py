"""What the operator decides."""

from pathlib import Path

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True):
    """*data* holds everything the server keeps; *issue_token* makes a new admin token, when the first was lost."""

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path
    log_level: str = "info"
    issue_token: bool = False
