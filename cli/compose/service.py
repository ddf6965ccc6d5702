"""A service of a Compose file as one of a pipeline document."""

import shlex
from collections.abc import Callable
from typing import Any

from cli import file as files
from cli.compose import kind, mount, port, quantity, restart
from cli.compose.health import health_check
from cli.compose.node import Node
from cli.compose.reason import REASONS
from cli.compose.resource import resources
from cli.compose.stack import Stack
from cli.compose.variable import literal, named, variables

SIGNALS = {"15": "TERM", "2": "INT", "3": "QUIT", "1": "HUP", "10": "USR1", "12": "USR2", "28": "WINCH"}
"""The signals that a service can be stopped with, by their numbers."""

PROFILES = "compose.profiles"
"""The label that tags a service with its profiles."""

PULLS = {"always": "ALWAYS", "missing": "MISSING", "if_not_present": "MISSING", "never": "NEVER"}


class Conversion:
    """The conversion of the service *name*; with *is_job* others wait for its end."""

    def __init__(self, stack: Stack, name: str, given: Node, *, is_job: bool) -> None:
        self._stack, self._name, self._given = stack, name, given
        self._is_job = is_job
        self._spec: dict[str, Any] = {}
        self._container: dict[str, Any] = {}
        self._ports: list[int] = []

    def note(self, node: Node, text: str) -> None:
        self._stack.notes.add(node, text, self._name)

    @property
    def type(self) -> str:
        image = self._given.get("image")
        is_built = self._given.get("build") is not None
        return kind.guess(None if image is None else image.text, is_built=is_built, is_awaited=self._is_job)

    def document(self) -> dict[str, Any]:
        """Return the service of the pipeline document, with the name that it has in the Compose file."""
        if not self._given.get("image") and not self._given.get("build"):
            raise self._given.error(f"{self._name} has neither an image nor a build")
        self._spec["restart"] = "NO"  # Compose's default
        for name, each in self._given.fields.items():
            if each.value is None or name in QUIET or name.startswith("x-"):
                continue
            converter = CONVERTERS.get(name)
            if converter is None:
                self.note(each, f"{name}: {REASONS.get(name, 'unknown to Stageline')}")
                continue
            try:
                converter(self, each)
            except ValueError as why:
                raise each.error(f"{name}: {why}") from None
        if found := variables(self._given, self._stack, self.note):
            self._spec["env"] = found
        if self._ports:
            self._spec["ports"] = self._ports
        self._finish()
        spec = self._spec | ({"container": self._container} if self._container else {})
        return {"name": self._name, "type": self.type, "spec": spec}

    def _finish(self) -> None:
        """Leave out what a JOB can't have, and what is the default."""
        if self._is_job:
            restart = self._spec.pop("restart")
            limit = self._spec.pop("restartLimit", None)
            if restart == "ON_FAILURE":
                self._spec["retries"] = min(limit or MAX_RETRIES, MAX_RETRIES)
            elif restart == "ALWAYS":
                self.note(self._given, "restart: a JOB runs once, to its end")
            if self._spec.pop("healthCheck", None):
                self.note(self._given, "healthcheck: a JOB has none; its exit code counts")
            if self._container.pop("replicas", 1) > 1:
                self.note(self._given, "replicas: a JOB runs once")
        if self._spec.get("restart") == "ALWAYS":
            del self._spec["restart"]

    # Sources

    def image(self, given: Node) -> None:
        if self._given.get("build") is None:
            self._spec["image"] = given.text
        else:
            self.note(given, "image: a built image has no name that others can use")

    def build(self, given: Node) -> None:
        context = given.get("context")
        if given.get("dockerfile_inline"):
            raise given.error("dockerfile_inline can't be expressed: write it to a file")
        text = "." if context is None else context.text
        if "://" in text or text.startswith("git@"):
            raise given.error(f"the build context {text!r} is no folder: clone it first")
        self._spec["buildContext"] = files.absolute(text, given.file.base)
        for name, each in given.fields.items():
            match name:
                case "context":
                    pass
                case "dockerfile":
                    self._spec["dockerfile"] = each.text
                case "target":
                    self._container["buildTarget"] = each.text
                case "args":
                    found = dict(named(each, self._stack, self.note))
                    if found:
                        self._container["buildArgs"] = found
                case _:
                    self.note(each, f"build: {name} has no effect")

    def pull_policy(self, given: Node) -> None:
        if given.text in PULLS:
            if self._given.get("build") is None and PULLS[given.text] != "MISSING":
                self._container["pull"] = PULLS[given.text]
        elif given.text != "build":
            self.note(given, f"pull_policy: {given.text} can't be expressed")

    # Commands and checks

    def command(self, given: Node) -> None:
        self._arguments("command", given)

    def entrypoint(self, given: Node) -> None:
        self._arguments("entrypoint", given)

    def _arguments(self, name: str, given: Node) -> None:
        texts = given.texts if isinstance(given.value, list) else shlex.split(given.text)
        if not texts:
            self.note(given, f"{name}: an empty one leaves that of the image")
            return
        self._container[name] = [literal(text) for text in texts]

    def working_dir(self, given: Node) -> None:
        self._container["workingDirectory"] = given.text

    def user(self, given: Node) -> None:
        self._container["user"] = given.text

    def platform(self, given: Node) -> None:
        if given.text:
            self._container["platform"] = given.text

    def restart(self, given: Node) -> None:
        self._spec |= restart.plain(given)

    def stop_signal(self, given: Node) -> None:
        signal = SIGNALS.get(given.text, given.text.upper().removeprefix("SIG"))
        if signal not in SIGNALS.values():
            self.note(given, f"stop_signal: {given.text} can't be expressed")
        elif signal != "TERM":
            self._spec["stopSignal"] = signal

    def stop_grace_period(self, given: Node) -> None:
        self._spec["stopGraceSeconds"] = max(quantity.MIN_SECONDS, quantity.seconds(given.text))

    def healthcheck(self, given: Node) -> None:
        found = health_check(given, self.note)
        if found is not None:
            self._spec["healthCheck"] = found
            if found["startPeriodSeconds"] >= DEPLOY_TIMEOUT:
                self._spec["deployTimeoutSeconds"] = found["startPeriodSeconds"] + DEPLOY_TIMEOUT

    def labels(self, given: Node) -> None:
        self._container.setdefault("labels", {}).update(named(given, self._stack, self.note))

    def profiles(self, given: Node) -> None:
        if given.texts:
            self._container.setdefault("labels", {}).setdefault(PROFILES, ",".join(given.texts))

    # Ports and mounts

    def ports(self, given: Node) -> None:
        for entry in given.items:
            for each in port.read(entry):
                if each.protocol != "tcp":
                    self.note(entry, f"ports: {each.target}/{each.protocol} is not TCP, and can't be expressed")
                    continue
                if each.target not in self._ports:
                    self._ports.append(each.target)
                if each.published is None:
                    continue
                index = self._ports.index(each.target)
                published = self._container.setdefault("publish", [])
                if any(one.get("portIndex", 0) == index for one in published):
                    self.note(entry, f"ports: {each.target} is published twice; only the first place counts")
                    continue
                place: dict[str, Any] = {"portIndex": index, "hostPort": each.published, "address": each.address}
                published.append({key: value for key, value in place.items() if value is not None})

    def expose(self, given: Node) -> None:
        for entry in given.items:
            for each in port.read(entry):
                if each.protocol != "tcp":
                    self.note(entry, f"expose: {each.target}/{each.protocol} is not TCP, and can't be expressed")
                elif each.target not in self._ports:
                    self._ports.append(each.target)

    def volumes(self, given: Node) -> None:
        for entry in given.items:
            if (found := mount.read(entry, self._stack, self._name)) is not None:
                self._mount(found)

    def configs(self, given: Node) -> None:
        for each in mount.of_files(given, "configs", self._stack, self._name):
            self._mount(each)

    def secrets(self, given: Node) -> None:
        for each in mount.of_files(given, "secrets", self._stack, self._name):
            self._mount(each)

    def _mount(self, found: mount.Mount) -> None:
        name = "source" if found.is_bind else "name"
        entry: dict[str, Any] = {name: found.source, "path": found.path}
        if found.read_only:
            entry["readOnly"] = True
        self._container.setdefault("binds" if found.is_bind else "volumes", []).append(entry)

    # Resources

    def mem_limit(self, given: Node) -> None:
        self._container["memoryMib"] = quantity.mebibytes(given.text)

    def mem_reservation(self, given: Node) -> None:
        self._container["memoryRequestMib"] = quantity.mebibytes(given.text)

    def shm_size(self, given: Node) -> None:
        self._container["sharedMemoryMib"] = quantity.mebibytes(given.text)

    def cpus(self, given: Node) -> None:
        if (count := quantity.number(given.text)) > 0:
            self._container["cpus"] = count

    def scale(self, given: Node) -> None:
        count = quantity.whole(given.text)
        if count > 1:
            self._container["replicas"] = count
            self.note(given, "replicas: a Docker engine runs one; on DOCKER its deployment is refused until it is 1")
        elif count == 0:
            self.note(given, "replicas: 0 can't be expressed; skip the service")

    def deploy(self, given: Node) -> None:
        for name, each in given.fields.items():
            match name:
                case "replicas":
                    self.scale(each)
                case "resources":
                    self._container |= resources(each, self.note)
                case "restart_policy":
                    if self._given.get("restart") is None:
                        self._spec |= restart.policy(each, self.note)
                case _:
                    self.note(each, f"deploy: {name} can't be expressed")

    def init(self, given: Node) -> None:
        if not given.is_true:
            self.note(given, "init: a container always has an init process")


DEPLOY_TIMEOUT = 600.0
"""Default time limit of a deploy step, in seconds: a longer start period needs a longer one."""

MAX_RETRIES = 10
"""Maximum number of retries of a step; see `domain.spec`."""

QUIET = frozenset({"depends_on", "environment", "env_file"})
"""Fields that the stages and the variables express."""

CONVERTERS: dict[str, Callable[[Conversion, Node], None]] = {
    each.__name__: each
    for each in (
        *(Conversion.image, Conversion.build, Conversion.pull_policy, Conversion.command, Conversion.entrypoint),
        *(Conversion.working_dir, Conversion.user, Conversion.platform, Conversion.restart, Conversion.stop_signal),
        *(Conversion.stop_grace_period, Conversion.healthcheck, Conversion.labels, Conversion.ports, Conversion.expose),
        *(Conversion.volumes, Conversion.configs, Conversion.secrets, Conversion.mem_limit),
        *(Conversion.mem_reservation, Conversion.shm_size, Conversion.cpus, Conversion.scale, Conversion.deploy),
        *(Conversion.init, Conversion.profiles),
    )
}
"""The fields that can be expressed."""
