"""The reason for which a Pod does not come up, in words: from its state and from the cluster's events."""

import re
from collections.abc import Sequence

from domain.spec import Check, CommandCheck, HttpCheck, TcpCheck
from runner.targets.contract import StepRequest
from runner.targets.health import health_of
from runner.targets.kubernetes.model import Event, Pod, Waiting
from runner.targets.port import ports

PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ErrImageInspect"})
"""Reasons for which a container waits whose image can't be had."""

CREATING = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
"""Reasons for which a container waits that can't be started."""

UNHEALTHY = "Unhealthy"
"""The reason of the event of a failed probe."""

PROBE = re.compile(r"^(Readiness|Liveness|Startup) probe (failed|errored): ", re.DOTALL)
EXIT = re.compile(r"ended with exit code (\d+)\s*$")
STATUS = re.compile(r"HTTP probe failed with statuscode: (\d+)")


def of_waiting(waiting: Waiting, image: str) -> str | None:
    """Return why a container that is *waiting* never starts; None if it may."""
    if waiting.reason in PULLING:
        return f"image {image} can't be pulled: {waiting.message or waiting.reason}"
    if waiting.reason in CREATING:
        return f"the container can't be started: {waiting.message or waiting.reason}"
    return None


def of_probe(request: StepRequest, events: Sequence[Event]) -> str | None:
    """Return why the last probe has failed, if the cluster says so."""
    said = [event for event in events if event.reason == UNHEALTHY]
    health = health_of(request.spec)
    if not said or health is None:
        return None
    return _probe(health.check, PROBE.sub("", said[-1].message), ports(request), health.timeout)


def _probe(check: Check, message: str, listening: Sequence[int], timeout: float) -> str:
    if "deadline exceeded" in message or "i/o timeout" in message or "timed out" in message:
        return f"no response to the check within {timeout:g} s"
    match check:
        case HttpCheck(path=path, port=index) if found := STATUS.search(message):
            return f"GET {path} on port {listening[index]} returned {found[1]}"
        case (HttpCheck() | TcpCheck()) as network if "connection refused" in message:
            return f"connection refused on port {listening[network.port]}"
        case CommandCheck(command=command) if found := EXIT.search(message):
            return f"the check ({command}) ended with exit code {found[1]}"
    return message.strip()


def of_pending(pod: Pod | None, events: Sequence[Event]) -> str:
    """Return why *pod* does not run, or why there is none: *events* are those of it, or of what should create it."""
    warnings = [event.message for event in events if event.type == "Warning"]
    if pod is not None and pod.unscheduled is not None:
        return f"no node takes it: {pod.unscheduled}"
    if warnings:
        return warnings[-1]
    container = None if pod is None else pod.container
    if container is not None and container.state.waiting is not None:
        return f"its container waits: {container.state.waiting.reason} {container.state.waiting.message}".strip()
    return "the cluster created no Pod" if pod is None else "its Pod does not run"
