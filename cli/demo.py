"""
`stageline demo`: the announcement's example, run with the commands themselves.

The demo starts its own server. It prints each command as a user types it, and then executes it.
"""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import auth, config, lazy
from cli.client import Client
from cli.config import Config, ContextConfig
from cli.errors import Failed, Interrupted
from cli.execution import execute
from cli.output import write
from cli.sandbox import Sandbox, free_ports, server_port

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "announcement"
CONTEXT = "demo"
PROJECT = "Demo"
ENVIRONMENT = "announcement"

RENAMED = {
    "DATABASE DEFAULT": "first stage",
    "JOB DEFAULT": "second stage",
    "CONTAINER DEFAULT": "third stage",
    "APPLICATION DEFAULT": "fourth stage",
}
REACHED = re.compile(r"127\.0\.0\.1:\$\{port:([^}]+)\}")
"""The address of another service in the example's specifications."""

CONTAINER_PORT = 8080
"""The port on which each service listens in its container."""

MOVED = {"Rabbitmq": "second stage", "Backend": "third stage"}
DOOR = "API gateway"
STAGE = ("environment", "stage")
VARIABLES = (
    "STAGELINE_URL",
    "STAGELINE_TOKEN",
    "STAGELINE_TOKEN_FILE",
    "STAGELINE_PROJECT",
    "STAGELINE_ENVIRONMENT",
    "STAGELINE_CONTEXT",
)


RunCommand = Callable[[list[str]], int]
"""Execute one command line and return its exit code."""


def demo(
    context: typer.Context,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End after the deployment, with its exit code (0: succeeded).")
    ] = False,
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DIR", file_okay=False, help="The folder of the demo; its contents are replaced."
        ),
    ] = Path(".stageline-demo"),
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, show_default="8000, or a free one", help="The server's port."
        ),
    ] = None,
    docker: Annotated[
        str | None,
        typer.Option(
            "--docker",
            metavar="HOST",
            show_default="processes of this machine",
            help="Build images and run containers on this Docker engine: unix:///var/run/docker.sock.",
        ),
    ] = None,
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="The image with Python that --docker builds on.")
    ] = "python:3.13-alpine",
) -> None:
    """Deploy the announcement's seven services in order.

    The demo starts a server, creates an environment with seven small services, renames stages and moves services as
    the announcement does, and deploys. Everything runs until Ctrl-C, which stops the server and the services.
    """
    if not (EXAMPLE / "environment.json").is_file():
        raise Failed(
            f"The demo's services are missing: {EXAMPLE}.",
            hint="They are in the repository, not in the package: run scripts/demo in a clone.",
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sandbox = Sandbox(data.expanduser().absolute())
    sandbox.prepare()
    write(f"The demo's files are in {data}; earlier ones were deleted.")
    shell = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    before = config.load()
    left_over = before.contexts[CONTEXT].url if CONTEXT in before.contexts else None
    url = f"http://127.0.0.1:{server_port(port, before.tokens.keys() - {left_over})}"
    try:
        with sandbox:
            run_command = partial(execute, context.find_root().command)
            story = Story(sandbox.folder, None if docker is None else image)
            sandbox.docker = docker
            code = _play(run_command, sandbox, url, before, bool(shell), exit_, story)
            write("Stopping the server and the services …")
    finally:
        config.update(lambda kept: _forget(kept, before, url))
    write(f"Stopped. The demo's files are still in {data}")
    raise typer.Exit(code)


@dataclass
class Story:
    """The example in *folder*. With an *image* its services are containers, which are built on that image.

    *door* is the port of this machine at which `DOOR` answers.
    """

    folder: Path
    image: str | None = None
    door: int = 0


def _play(
    run_command: RunCommand, sandbox: Sandbox, url: str, before: Config, has_variables: bool, exit_: bool, story: Story
) -> int:
    """Run the example, wait for Ctrl-C unless *exit_*, and return the exit code."""
    try:
        sandbox.start(int(url.rpartition(":")[2]))
        config.update(lambda kept: _keep(kept, before, url, sandbox.token))
        os.environ["STAGELINE_CONTEXT"] = CONTEXT
        code = _tell(run_command, story)
        if exit_ or code == Interrupted.exit_code:
            return code
        _show_around(url, has_variables, story.door)
        sandbox.wait()
    except KeyboardInterrupt:
        write("")
        return 0
    raise Failed("The server ended unexpectedly.", hint=f"See its log: {sandbox.log}")


def _keep(kept: Config, before: Config, url: str, token: str) -> None:
    """Add the demo's token and context to the user's own. Make it the current context if there is no other."""
    kept.tokens[url] = token
    kept.contexts[CONTEXT] = ContextConfig(project=PROJECT, environment=ENVIRONMENT, url=url)
    if not before.contexts.keys() - {CONTEXT}:
        kept.context = CONTEXT
    kept.url = before.url


def _forget(kept: Config, before: Config, url: str) -> None:
    """Remove the demo from the config, and keep what the user changed meanwhile."""
    kept.tokens.pop(url, None)
    kept.contexts.pop(CONTEXT, None)
    own = before.contexts.get(CONTEXT)
    is_left_over = own is not None and (own.project, own.environment) == (PROJECT, ENVIRONMENT)
    if own is not None and not is_left_over:
        kept.contexts[CONTEXT] = own
    if url in before.tokens and not (is_left_over and own is not None and own.url == url):
        kept.tokens[url] = before.tokens[url]
    if kept.context == CONTEXT:
        kept.context = before.context if before.context in kept.contexts else config.DEFAULT_CONTEXT
    if kept.url == url:
        kept.url = before.url


def _tell(run_command: RunCommand, story: Story) -> int:
    """Execute the commands of the example until one fails, and return its exit code."""
    target = ["--target", "docker"] if story.image else []
    steps = [
        ["project", "create", "-n", PROJECT],
        ["environment", "create", "-n", ENVIRONMENT, "--project", PROJECT, *target],
        *_services(story),
        [*STAGE, "list"],
        *([*STAGE, "edit", "-n", name, "--new-name", new] for name, new in RENAMED.items()),
        [*STAGE, "list"],
        *([*STAGE, "move", "-n", name, "-s", stage] for name, stage in MOVED.items()),
        [*STAGE, "list"],
        ["environment", "deploy", "--watch"],
    ]
    return next(filter(None, (_type(run_command, words) for words in steps)), 0)


def _type(run_command: RunCommand, words: list[str]) -> int:
    """Print a command, and execute it."""
    line = f"~ $ {' '.join(['stageline', *map(_quoted, words)])}"
    write(typer.style(line, bold=True) if sys.stdout.isatty() else line)
    return run_command(words)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _services(story: Story) -> list[list[str]]:
    """Copy the example's services into the folder, and return the commands that add them."""
    folder, here = story.folder, story.folder / "services"
    shutil.copytree(EXAMPLE, here, ignore=shutil.ignore_patterns("__pycache__"))
    services: list[dict[str, Any]] = json.loads((here / "environment.json").read_text(encoding="utf-8"))
    ports = dict(zip((service["name"] for service in services), free_ports(len(services)), strict=True))
    story.door = ports[DOOR]
    commands = []
    for service in services:
        spec = folder / "specs" / f"{service['name'].lower().replace(' ', '-')}.json"
        spec.parent.mkdir(exist_ok=True)
        filled = _contained(service, here, ports, story.image) if story.image else _filled(service["spec"], here, ports)
        spec.write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")
        shown = os.path.relpath(spec)
        commands.append(["service", "add", "-n", service["name"], "-t", service["type"].lower(), "-f", shown])
    return commands


def _filled(spec: dict[str, Any], here: Path, ports: dict[str, int]) -> dict[str, Any]:
    """Replace the placeholders in *spec*: `${here}` is the example's folder, `${port:NAME}` a service's port."""

    def fill(value: Any) -> Any:
        match value:
            case str():
                text = value.replace("${here}", str(here))
                return re.sub(r"\$\{port:([^}]+)\}", lambda found: str(ports[found[1]]), text)
            case list():
                return [fill(each) for each in value]
            case dict():
                return {name: fill(each) for name, each in value.items()}
            case _:
                return value

    filled: dict[str, Any] = fill(spec)
    filled["ports"] = [int(port) for port in filled.get("ports", ())]
    return filled


def _contained(service: dict[str, Any], here: Path, ports: dict[str, int], image: str) -> dict[str, Any]:
    """Return the specification of a service as a container, and write its Dockerfile.

    Services reach each other by name. Those in the same stage can't by references.
    Only the port of `DOOR` is published at a chosen one.
    """
    by_name = REACHED.sub(lambda found: f"{lazy.name.host(found[1])}:{CONTAINER_PORT}", json.dumps(service["spec"]))
    spec = _filled(json.loads(by_name), here, ports)
    context = Path(spec.pop("workingDirectory"))
    lines = [f"FROM {image}", "WORKDIR /app", "COPY . .", *(f"RUN {command}" for command in spec.pop("buildCommands"))]
    lines += ["ENV HOST=0.0.0.0", f"CMD {spec.pop('runCommand')}"]
    (context / "Dockerfile").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    published = [{"hostPort": ports[DOOR], "address": "127.0.0.1"}] if service["name"] == DOOR else []
    return spec | {"buildContext": str(context), "ports": [CONTAINER_PORT], "container": {"publish": published}}


def _show_around(url: str, has_variables: bool, door: int) -> None:
    stageline = _invocation()
    with Client.known() as client:
        server = client.server
    lines = [
        "",
        "Everything is running:",
        f"  API gateway  http://127.0.0.1:{door}  (a visit goes through all seven)",
        f"  GraphiQL     {url}/graphql",
        "",
        "Try next, in another terminal:",
        *_exports(has_variables),
        f"  {stageline} deployment show",
        f"  {stageline} deployment logs Backend",
        f'  {stageline} environment stage create -n "fifth stage"',
        f"  {stageline} environment deploy --watch",
        f"  {stageline} auth token --print  # GraphiQL asks for it",
        "",
        "Ctrl-C here stops the server and the services.",
        "",
        "See the order, change it by hand and watch it run. The link works once, within 5 minutes;",
        f"{stageline} auth link prints another:",
        f"  {auth.sign_in_link(server)['link']}",
    ]
    write("\n".join(lines))


def _exports(has_variables: bool) -> list[str]:
    """Return the lines that make a shell's commands use the demo; none if they do already."""
    if has_variables:
        return [f"  unset {' '.join(VARIABLES)}; export STAGELINE_CONTEXT={CONTEXT}"]
    return [f"  export STAGELINE_CONTEXT={CONTEXT}"] if config.load().context != CONTEXT else []


def _invocation() -> str:
    """Return the command that starts this program from the current folder."""
    found = shutil.which("stageline")
    if found and Path(found).resolve().parent == Path(sys.executable).parent.resolve():
        return "stageline"
    script = ROOT / "scripts" / "stageline"
    program = script if script.is_file() else Path(sys.executable).parent / "stageline"
    near = os.path.relpath(program)
    return str(program) if near.startswith("..") else near
