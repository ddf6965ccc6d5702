"""The services of Compose files: read, interpolated, extended and merged."""

import os
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli import envfile
from cli import file as files
from cli.compose import interpolation, node
from cli.compose.interpolation import Unfit
from cli.compose.merge import merged, normal
from cli.compose.node import Node
from cli.compose.note import Notes
from cli.errors import Misused

SECTIONS = ("services", "volumes", "networks", "configs", "secrets")
"""The parts of a file that are merged."""

MEANINGLESS = frozenset({"version", "name"})
"""Fields of a file that say nothing of services."""

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""The names of a file that is looked for, in the order of Compose."""

OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)
"""The names of a file that Compose reads after the one that it has found."""

MAX_FILES = 100
"""Maximum number of files of a stack."""


@dataclass
class Stack:
    """Services by name, and the volumes, networks, configs and secrets that they use."""

    variables: Mapping[str, str]
    notes: Notes
    parts: dict[str, dict[str, Node]] = field(default_factory=lambda: {section: {} for section in SECTIONS})
    _files: dict[Path, Node] = field(default_factory=dict)
    _added: set[Path] = field(default_factory=set)

    @property
    def services(self) -> dict[str, Node]:
        return self.parts["services"]

    def add(self, path: Path, base: Path | None = None) -> None:
        """Read *path* over what was read before."""
        self._added.add(Path(os.path.normpath(path.absolute())))
        root = self._read(path, base)
        for name, section in root.fields.items():
            if name == "include":
                for each in section.items if isinstance(section.value, list) else [section]:
                    self._include(each)
            elif name in SECTIONS:
                self._merge(name, section)
            elif name not in MEANINGLESS and not name.startswith("x-"):
                self.notes.add(section, f"{name}: unknown")

    def _merge(self, section: str, given: Node) -> None:
        parts = self.parts[section]
        for name, each in given.fields.items():
            new = self._extended(name, each, ()) if section == "services" else each
            found = merged("", parts[name], new) if name in parts else new
            if found is None:
                parts.pop(name, None)
            else:
                parts[name] = found

    def _include(self, included: Node) -> None:
        """Read the files that *included* names, each once, so that files may include each other."""
        paths = included.fields.get("path", included) if isinstance(included.value, dict) else included
        for text in paths.texts:
            path = Path(files.absolute(text, included.file.base))
            if path not in self._added:
                _check_exists(path, included, "include")
                self.add(path)
        for name in included.value if isinstance(included.value, dict) else ():
            if name != "path":
                self.notes.add(included, f"include: {name} has no effect")

    def _read(self, path: Path, base: Path | None = None) -> Node:
        """Return the file, interpolated; each is read once."""
        key = path.absolute()
        if key not in self._files:
            if len(self._files) == MAX_FILES:
                raise Misused(f"Can't read {path}: a stack has at most {MAX_FILES} files. Does one include itself?")
            root = node.read(path, base)
            try:
                seen: dict[int, Node] = {}
                filled = {
                    name: self._filled(each, seen) if name in (*SECTIONS, "include") else each
                    for name, each in root.fields.items()
                }
                if "services" in filled:
                    filled["services"] = _normal_services(filled["services"])
            except RecursionError:
                raise Misused(f"Invalid {path}: it is nested too deeply.") from None
            self._files[key] = root.having(filled)
        return self._files[key]

    def _filled(self, given: Node, seen: dict[int, Node]) -> Node:
        """Return *given* with the values of variables. Values that aliases share are filled once."""
        if given.value is None:
            return given
        if isinstance(given.value, str):
            if "$" not in given.value:
                return given

            def missing(name: str) -> None:
                self.notes.add(given, f"the variable {name} is not set, so it is empty")

            try:
                return given.having(interpolation.fill(given.value, self.variables, missing))
            except Unfit as unfit:
                raise given.error(str(unfit)) from None
        if id(given.value) not in seen:
            if isinstance(given.value, dict):
                filled = given.having({name: self._filled(each, seen) for name, each in given.value.items()})
            else:
                filled = given.having([self._filled(each, seen) for each in given.value])
            seen[id(given.value)] = filled
        return given.having(seen[id(given.value)].value)

    def _extended(self, name: str, service: Node, way: tuple[tuple[str, str], ...]) -> Node:
        """Return *service* over the one that it extends."""
        extends = service.get("extends")
        if extends is None:
            return service
        asked, file = extends.get("service"), extends.get("file")
        if asked is None:
            raise extends.error("extends: it names no service")
        path = Path(extends.file.name) if file is None else Path(files.absolute(file.text, extends.file.base))
        step = (str(path.absolute()), asked.text)
        if step in way or (file is None and asked.text == name):
            raise extends.error(f"extends: {asked.text!r} extends itself")
        if file is not None:
            _check_exists(path, extends, "extends")
        services = self._read(path).get("services")
        found = None if services is None else services.get(asked.text)
        if found is None:
            raise extends.error(f"extends: {path} has no service {asked.text!r}")
        base = self._extended(asked.text, found, (*way, step))
        own = service.having({key: each for key, each in service.fields.items() if key != "extends"})
        whole = merged("", base.having({key: each for key, each in base.fields.items() if key != "extends"}), own)
        assert whole is not None, "a service is not reset by its own file"
        return whole


def _check_exists(path: Path, named_by: Node, field: str) -> None:
    """Raise `Misused`, with the line of *named_by*, if the file *path* is not there."""
    if not files.exists(path):
        raise named_by.error(f"{field}: {path} is not there")


def _normal_services(services: Node) -> Node:
    return services.having(
        {
            name: service.having({field: normal(field, each) for field, each in service.fields.items()})
            for name, service in services.fields.items()
        }
    )


def found_files() -> list[Path]:
    """Return the file that Compose would read in this folder, with its override; raise `Misused` if there is none."""
    for name in NAMES:
        if Path(name).exists():
            return [Path(name), *(Path(each) for each in OVERRIDES if Path(each).exists())][:2]
    raise Misused(f"This folder has no {', '.join(NAMES[:-1])} or {NAMES[-1]}: name a file.")


def environment(folder: Path, env_files: Sequence[Path]) -> dict[str, str]:
    """Return the variables of the shell over those of the *env_files*, by default of the one in *folder*."""
    own = dict(os.environ)
    found: dict[str, str] = {}
    default = folder / ".env"
    for file in env_files or ([default] if default.is_file() else []):
        found |= envfile.read(file, Expansion(ChainMap(own, found)))
    return found | own


@dataclass(frozen=True)
class Expansion:
    """Inserts the values of variables into a text of a .env file, *known* ones over those of the file."""

    known: Mapping[str, str]

    def __call__(self, text: str, variables: Mapping[str, str]) -> str:
        """Return *text* with its values; with a dollar that begins no variable it stays as it is."""
        try:
            return interpolation.fill(text, {**variables, **self.known}, lambda _: None)
        except Unfit:
            return text
