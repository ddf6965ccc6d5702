"""Compose files as a pipeline document: a stage for each level of `depends_on`."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cli import lazy
from cli.compose import kind
from cli.compose.node import Node
from cli.compose.note import few
from cli.compose.service import Conversion
from cli.compose.stack import Stack
from cli.errors import Misused
from cli.imported import ImportedPipeline

COMPLETED = "service_completed_successfully"
ALL_PROFILES = "*"

SECRET = re.compile(r"(?:^|_)(?:PASS|PASSWORD|SECRET|TOKEN|APIKEY|KEY|CREDENTIALS?)(?:_|$)", re.IGNORECASE)
"""Names of variables whose values are probably secret."""


def convert(stack: Stack, profiles: Collection[str]) -> ImportedPipeline:
    """Return the document of *stack*; services of none of the *profiles* are skipped. Raise `Misused`."""
    if not stack.services:
        raise Misused("The files have no services.")
    needs = {name: _needs(stack, name, given) for name, given in stack.services.items()}
    awaited = {need for each in needs.values() for need, condition in each.items() if condition == COMPLETED}
    levels = _levels(needs, stack.services)
    hosts = _hosts(stack)
    services = {
        name: _converted(stack, name, given, profiles, is_job=name in awaited) for name, given in stack.services.items()
    }
    for service in services.values():
        _rename(service, hosts)
    for name, given in stack.services.items():
        if problem := _problem(services[name]):
            raise given.error(f"{name} can't be a service of Stageline: {problem}")
    _note_volumes(stack, services.values())
    stages = [
        {
            "name": f"Level {level}",
            "description": f"What depends on level {level - 1}." if level > 1 else "What depends on nothing.",
            "services": [services[name] for name in services if levels[name] == level],
        }
        for level in range(1, max(levels.values()) + 1)
    ]
    return ImportedPipeline({"stages": stages}, list(_summary(services)), stack.notes.lines)


def _needs(stack: Stack, name: str, given: Node) -> dict[str, str]:
    """Return the services that *name* depends on, each with its condition."""
    found: dict[str, str] = {}
    depends = given.get("depends_on")
    for need, each in depends.fields.items() if depends else ():
        asked = each.get("condition") if each.value is not None else None
        is_required = each.value is None or (each.get("required") or each.having("true")).text.lower() != "false"
        if need not in stack.services:
            if is_required:
                raise each.error(f"{name} depends on {need!r}, and there is no such service")
            continue
        if each.value is not None and (restart := each.get("restart")) is not None and restart.is_true:
            stack.notes.add(restart, "depends_on: restart can't be expressed", name)
        found[need] = "service_started" if asked is None else asked.text
    for field in ("links", "volumes_from"):
        for each in (given.get(field) or given.having(None)).items:
            need = each.text.partition(":")[0]
            if need in stack.services:
                found.setdefault(need, "service_started")
    return found


def _levels(needs: Mapping[str, Collection[str]], services: Mapping[str, Node]) -> dict[str, int]:
    """Return the level of each service, from 1; raise `Misused` for a cycle."""
    levels: dict[str, int] = {}
    while len(levels) < len(needs):
        ready = [name for name, each in needs.items() if name not in levels and all(need in levels for need in each)]
        if not ready:
            cycle = _cycle({name: each for name, each in needs.items() if name not in levels}, levels)
            depends = services[cycle[0]].get("depends_on") or services[cycle[0]]
            raise depends.error(f"the services depend on each other: {' → '.join(cycle)}")
        levels |= {name: 1 + max((levels[need] for need in needs[name]), default=0) for name in ready}
    return levels


def _cycle(needs: Mapping[str, Collection[str]], done: Collection[str]) -> list[str]:
    way = [next(iter(needs))]
    while way.count(way[-1]) == 1:
        way.append(next(need for need in needs[way[-1]] if need not in done))
    return way[way.index(way[-1]) :]


def _converted(stack: Stack, name: str, given: Node, profiles: Collection[str], *, is_job: bool) -> dict[str, Any]:
    service = Conversion(stack, name, given, is_job=is_job).document()
    own = given.get("profiles")
    if own is not None and own.value and ALL_PROFILES not in profiles and not set(own.texts) & set(profiles):
        service["isSkipped"] = True
        stack.notes.add(own, f"profiles: {', '.join(own.texts)} is not chosen, so the service is skipped", name)
    return service


def _hosts(stack: Stack) -> dict[str, str]:
    """Return the new names of services whose names are no host names, such as those with an underscore."""
    renamed: dict[str, str] = {}
    for name, given in stack.services.items():
        if lazy.name.host(name) != name.lower():
            new = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "service"
            if new in stack.services or new in renamed.values():
                raise given.error(f"{name} is no host name, and {new} is another service: rename one")
            renamed[name] = new
            stack.notes.add(given, f"{name} is no host name: it is {new} here, also in addresses of other services")
    return renamed


def _rename(service: dict[str, Any], hosts: Mapping[str, str]) -> None:
    """Give the service its new name, and use the new names in addresses such as `@old:5432` and `http://old`."""
    service["name"] = hosts.get(service["name"], service["name"])
    if not hosts:
        return
    names = "|".join(map(re.escape, sorted(hosts, key=len, reverse=True)))
    address = re.compile(rf"(?:(?<=@)|(?<=//))(?:{names})(?![\w.-])|(?<![\w.-])(?:{names})(?=:\d)")

    def rewritten(text: str) -> str:
        return address.sub(lambda found: hosts[found[0]], text)

    spec, container = service["spec"], service["spec"].get("container", {})
    if "env" in spec:
        spec["env"] = {key: rewritten(value) for key, value in spec["env"].items()}
    for field in ("entrypoint", "command"):
        if field in container:
            container[field] = [rewritten(text) for text in container[field]]
    if "healthCheck" in spec:
        spec["healthCheck"]["command"] = rewritten(spec["healthCheck"]["command"])


def _problem(service: dict[str, Any]) -> str | None:
    """Return why the server would refuse *service*."""
    try:
        lazy.pipeline.read(json.dumps({"stages": [{"name": "stage", "services": [service]}]}))
    except lazy.errors.InvalidDocument as invalid:
        return str(invalid.details["why"])
    return None


def _note_volumes(stack: Stack, services: Collection[dict[str, Any]]) -> None:
    used = {each["name"] for one in services for each in one["spec"].get("container", {}).get("volumes", ())}
    for name, given in stack.parts["volumes"].items():
        if name not in used or given.value is None:
            continue
        for field, each in given.fields.items():
            if field in ("external", "name") and each.text.lower() != "false":
                stack.notes.add(each, f"volumes: {name} begins empty: copy the data of the engine's own volume")
            elif field not in ("external", "name", "labels") and (field, each.value) != ("driver", "local"):
                stack.notes.add(each, f"volumes: {field} of {name} can't be expressed")


def _summary(services: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the types that were guessed, and the variables that are probably secrets."""
    databases = [
        f"{name} ({kind.name_of(each['spec']['image'])})"
        for name, each in services.items()
        if each["type"] == "DATABASE"
    ]
    if databases:
        yield f"DATABASE, by the image: {few(databases)}"
    for type_, why in (
        ("JOB", "because others wait for its end"),
        ("APPLICATION", "because it is built"),
        ("CONTAINER", "any other image"),
    ):
        if names := [name for name, each in services.items() if each["type"] == type_]:
            yield f"{type_}, {why}: {few(names)}"
    secrets = {
        key
        for each in services.values()
        for key, value in each["spec"].get("env", {}).items()
        if _is_secret(key, value)
    }
    if secrets:
        yield f"Probably secrets, now in the document: {', '.join(sorted(secrets))}. See: stageline secret --help"


def _is_secret(name: str, value: str) -> bool:
    return bool(value) and not value.startswith(("/", "./")) and SECRET.search(name) is not None
