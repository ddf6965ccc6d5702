"""An attack: bytes for one connection, in steps, and how the connection is ended."""

from enum import Enum, auto

from msgspec import Struct


class Send(Struct, frozen=True):
    data: bytes


class Pause(Struct, frozen=True):
    seconds: float


class Await(Struct, frozen=True):
    """Reads until *marker* has come, or a little while."""

    marker: bytes


class End(Enum):
    ANSWERED = auto()
    """Waits for the answer: not to get one is a finding."""

    READ = auto()
    """Reads a little while, or until the server closes the connection."""

    HALF_CLOSED = auto()
    """As above, but sends nothing more, and says so."""

    CLOSED = auto()
    """Closes the connection without reading."""

    ABORTED = auto()
    """Resets the connection."""

    DEAF = auto()
    """Keeps the connection for a little while and reads nothing."""


Step = Send | Pause | Await


class Attack(Struct, frozen=True):
    """*is_good* says whether it comes with a good token; *seconds* is how long it reads at most."""

    kind: str
    steps: tuple[Step, ...]
    end: End
    is_good: bool = True
    seconds: float = 0.3

    @property
    def sent(self) -> bytes:
        return b"".join(step.data for step in self.steps if isinstance(step, Send))
