"""Volumes, folders and files of the machine, configs and secrets of a service in a Compose file."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli import file as files
from cli.compose.node import Node
from cli.compose.stack import Stack

LABELS = frozenset({"z", "Z"})
QUIET = frozenset({"rw", "cached", "delegated", "consistent", "nocopy"})
"""Options of a mount without an effect here; a new volume gets the image's files in any case."""


@dataclass(frozen=True)
class Mount:
    """A volume, or with *is_bind* a folder or file of the machine, at *path* of the container."""

    source: str
    path: str
    is_bind: bool = False
    read_only: bool = False


def read(given: Node, stack: Stack, service: str) -> Mount | None:
    """Return the mount of an entry of `volumes`; None, and a note, if it can't be expressed."""
    return _long(given, stack, service) if isinstance(given.value, dict) else _short(given, stack, service)


def _short(given: Node, stack: Stack, service: str) -> Mount | None:
    parts = given.text.split(":")
    if len(parts) > 3:
        raise given.error(f"{given.text[:80]!r} is not a mount such as data:/var/lib/data:ro")
    if len(parts) == 1:
        return _unnamed(given, parts[0], stack, service)
    source, path, *modes = parts
    options = set(modes[0].split(",")) if modes else set()
    if options & LABELS:
        stack.notes.add(given, "volumes: SELinux labels (z, Z) have no effect", service)
    for each in sorted(options - LABELS - QUIET - {"ro"}):
        stack.notes.add(given, f"volumes: the option {each} has no effect", service)
    return _mount(given, source, path, read_only="ro" in options, stack=stack, service=service)


def _long(given: Node, stack: Stack, service: str) -> Mount | None:
    texts = {name: each.text for name, each in given.fields.items() if not isinstance(each.value, dict | list)}
    kind, source, path = texts.get("type", "volume"), texts.get("source", ""), texts.get("target", "")
    if kind not in ("volume", "bind"):
        stack.notes.add(given, f"volumes: mounts of the type {kind} can't be expressed", service)
        return None
    for name in sorted(set(given.fields) - {"type", "source", "target", "read_only", "consistency"}):
        stack.notes.add(given.fields[name], f"volumes: {name} has no effect", service)
    if not source:
        return _unnamed(given, path, stack, service)
    is_read_only = texts.get("read_only", "false").lower() == "true"
    if kind == "bind":
        return _bind(given, source, path, read_only=is_read_only, stack=stack, service=service)
    return _mount(given, source, path, read_only=is_read_only, stack=stack, service=service)


def _mount(given: Node, source: str, path: str, *, read_only: bool, stack: Stack, service: str) -> Mount:
    if source.startswith((".", "~")) or "/" in source:
        return _bind(given, source, path, read_only=read_only, stack=stack, service=service)
    declared = stack.parts["volumes"].get(source)
    if declared is None:
        raise given.error(f"volumes: the file has no volume {source!r}")
    return Mount(source, path, read_only=read_only)


def _bind(given: Node, source: str, path: str, *, read_only: bool, stack: Stack, service: str) -> Mount:
    found = files.absolute(source, given.file.base)
    if not files.exists(Path(found)):
        stack.notes.add(given, f"volumes: {found} is not there: create it on the engine's machine", service)
    return Mount(found, path, is_bind=True, read_only=read_only)


def _unnamed(given: Node, path: str, stack: Stack, service: str) -> Mount:
    name = re.sub("[^A-Za-z0-9]+", "-", f"{service}-{path}").strip("-")[:63]
    stack.notes.add(given, f"volumes: a volume without a name is the volume {name} here, which survives", service)
    return Mount(name, path)


def of_files(given: Node, section: str, stack: Stack, service: str) -> Iterator[Mount]:
    """Yield the mounts of `configs` or `secrets`, each a file of the machine, as Compose has them."""
    for each in given.items:
        asked = {"source": each} if isinstance(each.value, str) else each.fields
        source = asked["source"].text if "source" in asked else ""
        declared = stack.parts[section].get(source)
        if declared is None:
            raise each.error(f"{section}: the file has no {source!r}")
        for name in sorted(set(asked) - {"source", "target"}):
            stack.notes.add(asked[name], f"{section}: {name} has no effect", service)
        file = declared.get("file")
        if file is None:
            stack.notes.add(each, f"{section}: {source} is no file, and can't be expressed", service)
            continue
        folder = "/run/secrets" if section == "secrets" else "/"
        path = os.path.join(folder, asked["target"].text if "target" in asked else source)  # noqa: PTH118 -- a container's
        yield _bind(file, file.text, path, read_only=True, stack=stack, service=service)
