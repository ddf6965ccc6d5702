"""An aggregate as data: what may happen, and what has."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")
Command = TypeVar("Command", contravariant=True)
Event = TypeVar("Event")


@dataclass(frozen=True)
class Decider(Generic[State, Command, Event]):
    """*decide* answers a command with new facts or raises `Refused`; *evolve* folds a fact in and never refuses.

    *fold* comes to the same as *evolve* on one fact after another, where that can be done quicker, and *advance* to the
    same as *decide*, with the state that its facts lead to, where deciding has come to that anyway.
    *name* is the family that stored event names begin with (`pipeline.ServiceMoved`): it is for ever.
    """

    name: str
    initial: State
    decide: Callable[[State, Command], list[Event]]
    evolve: Callable[[State, Event], State]
    events: tuple[type[Event], ...]
    fold: Callable[[State, Iterable[Event]], State] | None = None
    advance: Callable[[State, Command], tuple[list[Event], State]] | None = None

    def carry_out(self, state: State, command: Command) -> tuple[list[Event], State]:
        """The facts that *command* leads to, and the state with them; raises `Refused`."""
        if self.advance is not None:
            return self.advance(state, command)
        events = self.decide(state, command)
        return events, self.replay(events, state)

    def replay(self, events: Iterable[Event], state: State | None = None) -> State:
        """*events* folded onto *state*, or onto the initial state."""
        current = self.initial if state is None else state
        if self.fold is not None:
            return self.fold(current, events)
        for event in events:
            current = self.evolve(current, event)
        return current
