"""Notes on fields that an import can't express, and on choices that it made."""

from cli.compose.node import Node

MAX_SERVICES = 5
"""Maximum number of services that a note names."""


def few(names: list[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    more = len(names) - MAX_SERVICES
    return ", ".join(names[:MAX_SERVICES]) + (f" and {more} more" if more > 0 else "")


class Notes:
    """Notes for the user; those with the same text in one file are one, with all lines and services."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[int, list[str]]] = {}

    def add(self, node: Node, text: str, service: str = "") -> None:
        lines = self._found.setdefault((node.file.name, text), {})
        services = lines.setdefault(node.line, [])
        if service and service not in services:
            services.append(service)

    @property
    def lines(self) -> list[str]:
        """The notes in the order of their files and lines."""
        notes = []
        for number, ((file, text), found) in enumerate(self._found.items()):
            services = list(dict.fromkeys(name for line in sorted(found) for name in found[line]))
            where = f"{file}:{','.join(str(line) for line in sorted(found))}"
            notes.append((file, min(found), number, f"{where}: {few(services)}{': ' if services else ''}{text}"))
        return [note for *_, note in sorted(notes)]
