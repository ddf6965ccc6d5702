"""Aggregates as data: each pairs the decision on a command with the fold of its events."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")
Command = TypeVar("Command", contravariant=True)
Event = TypeVar("Event")


@dataclass(frozen=True)
class Decider(Generic[State, Command, Event]):
    """An aggregate: *decide* answers a command with new events or raises `Refused`; *evolve* applies an event.

    `evolve` never refuses. *fold* is optional: it equals `evolve` on one event after another, but is faster. *advance*
    is optional, too: it returns the events of *decide* together with the state that they lead to. *name* is the
    prefix of stored event names (`pipeline.ServiceMoved`) and never changes.
    """

    name: str
    initial: State
    decide: Callable[[State, Command], list[Event]]
    evolve: Callable[[State, Event], State]
    events: tuple[type[Event], ...]
    fold: Callable[[State, Iterable[Event]], State] | None = None
    advance: Callable[[State, Command], tuple[list[Event], State]] | None = None

    def carry_out(self, state: State, command: Command) -> tuple[list[Event], State]:
        """Return the events that *command* leads to, and the state after them; raises `Refused`."""
        if self.advance is not None:
            return self.advance(state, command)
        events = self.decide(state, command)
        return events, self.replay(events, state)

    def replay(self, events: Iterable[Event], state: State | None = None) -> State:
        """Return *state*, or the initial state, with *events* applied."""
        current = self.initial if state is None else state
        if self.fold is not None:
            return self.fold(current, events)
        for event in events:
            current = self.evolve(current, event)
        return current
