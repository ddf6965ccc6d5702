"""Words and subject of the events of instances."""

from typing import assert_never

from domain.instance import (
    InstanceDrifted,
    InstanceEvent,
    InstanceExit,
    InstanceExited,
    InstanceGivenUp,
    InstanceLost,
    InstanceRecovered,
    InstanceRestarted,
    InstanceStatus,
    InstanceUnhealthy,
)
from projections.words.subject import EventSubject, EventWords, NamedService


def instance_event_words(event: InstanceEvent) -> EventWords:
    """Describe *event*."""
    of = event.instance
    service = NamedService(id=of.service, name=of.name, type=of.type)
    return EventWords(f"{of.name}: {_words(event)}", EventSubject(service=service))


def _words(event: InstanceEvent) -> str:
    match event:
        case InstanceExited():
            then = "it stays down" if event.status is InstanceStatus.EXITED else "it is restarted"
            times = f" {event.count} times, last" if event.count > 1 else ""
            return f"the instance of deployment {event.instance.number} ended{times} {exit_words(event.last)}; {then}"
        case InstanceRestarted():
            if event.count > 1:
                return f"restarted {event.count} times, {event.restarts} in all"
            return f"restarted, {_times(event.restarts, 'time')} in all"
        case InstanceGivenUp():
            return f"given up after {_times(event.restarts, 'restart')}" + _why(event.problem)
        case InstanceUnhealthy():
            return "unhealthy" + _why(event.problem)
        case InstanceRecovered():
            return "healthy again"
        case InstanceLost():
            return f"the instance of deployment {event.instance.number} is lost" + _why(event.problem)
        case InstanceDrifted(drift=()):
            return "as it was applied again"
        case InstanceDrifted():
            return f"changed on the target: {'; '.join(event.drift)}"
        case _:
            assert_never(event)


def exit_words(last: InstanceExit) -> str:
    why = ", because it was out of memory" if last.is_out_of_memory else ""
    if last.signal is not None:
        return f"by {last.signal}{why}"
    return "without an exit code" if last.code is None else f"with exit code {last.code}{why}"


def _times(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _why(problem: str | None) -> str:
    return "" if problem is None else f": {problem}"
