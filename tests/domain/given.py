"""The language of these tests: given this history, when that command comes, then these events or this refusal."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import pytest

from domain.decider import Decider
from domain.errors import Refused

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


def stored(event: Event) -> Event:
    """*event* as it comes back from a log."""
    return msgspec.json.decode(msgspec.json.encode(event), type=type(event))


@dataclass(frozen=True)
class Given(Generic[State, Command, Event]):
    decider: Decider[State, Command, Event]

    def __call__(self, *history: Event) -> "History[State, Command, Event]":
        return History(self.decider, history)


@dataclass(frozen=True)
class History(Generic[State, Command, Event]):
    decider: Decider[State, Command, Event]
    events: tuple[Event, ...]

    @property
    def state(self) -> State:
        return self.decider.replay(self.events)

    def when(self, command: Command) -> "Answer[State, Command, Event]":
        return Answer(self, command)


@dataclass(frozen=True)
class Answer(Generic[State, Command, Event]):
    history: History[State, Command, Event]
    command: Command

    def then(self, *expected: Event) -> State:
        """The command is answered with exactly these events, none being silence; the state that they lead to."""
        decided = self._decide()
        assert list(expected) == decided
        return self.history.decider.replay(decided, self.history.state)

    def refused(self, expected: Refused) -> None:
        with pytest.raises(Refused) as caught:
            self._decide()
        assert expected == caught.value
        assert str(expected) == str(caught.value)

    def _decide(self) -> list[Event]:
        decider, state = self.history.decider, self.history.state
        events = decider.decide(state, self.command)
        assert decider.carry_out(state, self.command) == (events, decider.replay(events, state))
        return events
