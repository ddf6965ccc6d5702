"""
`stageline demo`: the announcement's story, told by the commands themselves.

Every command is shown as a reader would type it, and then carried out, against a server that was started for it.
"""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import config, run, scope
from cli.client import Client
from cli.config import Config, Context
from cli.errors import Failed, Interrupted
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


def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="End by itself after the deployment, with its exit code (0: succeeded).")
    ] = False,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", file_okay=False, help="The folder to play in; made anew each time."),
    ] = Path(".stageline-demo"),
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, show_default="8000, or a free one", help="The server's port."
        ),
    ] = None,
) -> None:
    """See the announcement's seven services deployed in order.

    Starts a server of its own, makes an environment with seven small services, renames and moves as the announcement
    does, deploys, and leaves everything up until Ctrl-C, which ends all that it started.
    """
    if not (EXAMPLE / "environment.json").is_file():
        raise Failed(
            f"The demo's services are not here: {EXAMPLE}.",
            hint="They come with a clone of the repository, not with the package.",
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sandbox = Sandbox(data.expanduser().absolute())
    sandbox.prepare()
    write(f"The demo's files are in {data}, made anew.")
    shell = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    before = config.load()
    left_over = before.contexts[CONTEXT].url if CONTEXT in before.contexts else None
    url = f"http://127.0.0.1:{server_port(port, before.tokens.keys() - {left_over})}"
    try:
        with sandbox:
            code = _play(sandbox, url, before, bool(shell), exit_)
            write("Stopping the server and the services …")
    finally:
        config.update(lambda kept: _forget(kept, before, url))
    write(f"Stopped. What is left of it: {data}")
    raise typer.Exit(code)


def _play(sandbox: Sandbox, url: str, before: Config, has_variables: bool, exit_: bool) -> int:
    """Tells the story, and waits for Ctrl-C unless *exit_*; the exit code."""
    try:
        sandbox.start(int(url.rpartition(":")[2]))
        config.update(lambda kept: _keep(kept, before, url))
        os.environ["STAGELINE_CONTEXT"] = CONTEXT
        code = _tell(sandbox.folder)
        if exit_ or code == Interrupted.exit_code:
            return code
        _show_around(url, has_variables)
        sandbox.wait()
    except KeyboardInterrupt:
        write("")
        return 0
    raise Failed("The server has ended by itself.", hint=f"Its last words are in {sandbox.log}")


def _keep(kept: Config, before: Config, url: str) -> None:
    """Puts the demo's context beside the user's own, or makes it the one in use where there is none yet."""
    kept.contexts[CONTEXT] = Context(project=PROJECT, environment=ENVIRONMENT, url=url)
    if not before.contexts.keys() - {CONTEXT}:
        kept.context = CONTEXT
    kept.url = before.url


def _forget(kept: Config, before: Config, url: str) -> None:
    """Leaves the config as it was before, but for what the user did to it meanwhile."""
    kept.tokens.pop(url, None)
    kept.contexts.pop(CONTEXT, None)
    if kept.context == CONTEXT:
        kept.context = before.context if before.context in kept.contexts else config.DEFAULT_CONTEXT
    if kept.url == url:
        kept.url = before.url


def _tell(folder: Path) -> int:
    """Carries out the commands of the story, until one of them fails; its exit code."""
    steps = [
        ["project", "create", "-n", PROJECT],
        ["environment", "create", "-n", ENVIRONMENT, "--project", PROJECT],
        *_services(folder),
        [*STAGE, "list"],
        *([*STAGE, "edit", "-n", name, "--new-name", new] for name, new in RENAMED.items()),
        [*STAGE, "list"],
        *([*STAGE, "move", "-n", name, "-s", stage] for name, stage in MOVED.items()),
        [*STAGE, "list"],
        ["environment", "deploy", "--watch"],
    ]
    return next(filter(None, map(_type, steps)), 0)


def _type(words: list[str]) -> int:
    """Shows a command, and carries it out."""
    from cli import main  # which imports this module

    line = f"~ $ {' '.join(['stageline', *map(_quoted, words)])}"
    write(typer.style(line, bold=True) if sys.stdout.isatty() else line)
    return main.run(words)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _services(folder: Path) -> list[list[str]]:
    """The commands that add the example's services; their files are copied into *folder*, where they are built."""
    here = folder / "services"
    shutil.copytree(EXAMPLE, here, ignore=shutil.ignore_patterns("__pycache__"))
    services: list[dict[str, Any]] = json.loads((here / "environment.json").read_text(encoding="utf-8"))
    ports = dict(zip((service["name"] for service in services), free_ports(len(services)), strict=True))
    commands = []
    for service in services:
        spec = folder / "specs" / f"{service['name'].lower().replace(' ', '-')}.json"
        spec.parent.mkdir(exist_ok=True)
        spec.write_text(json.dumps(_filled(service["spec"], here, ports), indent=2) + "\n", encoding="utf-8")
        shown = os.path.relpath(spec)
        commands.append(["service", "add", "-n", service["name"], "-t", service["type"].lower(), "-f", shown])
    return commands


def _filled(spec: dict[str, Any], here: Path, ports: dict[str, int]) -> dict[str, Any]:
    """*spec* with its placeholders replaced: `${here}`, the example's folder, and `${port:NAME}`, a service's port."""

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


def _show_around(url: str, has_variables: bool) -> None:
    stageline = _invocation()
    with Client.known() as client:
        environment = scope.find(client, PROJECT, ENVIRONMENT).id
        deployment = run.get(client, run.find(client, environment, None))
    services = {service.name: service for stage in deployment.stages for service in stage.services}
    lines = [
        "",
        "All of it runs now:",
        *(f"  API gateway  http://127.0.0.1:{port}  (a visit goes through all seven)" for port in services[DOOR].ports),
        f"  GraphiQL     {url}/graphql#token={client.server.token}  (the token is the demo's, and ends with it)",
        "",
        "To go on, in another terminal:",
        *_exports(has_variables),
        f"  {stageline} deployment show",
        f"  {stageline} deployment logs Backend",
        f'  {stageline} environment stage create -n "fifth stage"',
        f"  {stageline} environment deploy --watch",
        "",
        "Ctrl-C here stops the server and the services.",
    ]
    write("\n".join(lines))


def _exports(has_variables: bool) -> list[str]:
    """What a shell needs so that its commands go to the demo: nothing, unless the user has set something else."""
    if has_variables:
        return [f"  unset {' '.join(VARIABLES)}; export STAGELINE_CONTEXT={CONTEXT}"]
    return [f"  export STAGELINE_CONTEXT={CONTEXT}"] if config.load().context != CONTEXT else []


def _invocation() -> str:
    """How the reader can call this program from here."""
    found = shutil.which("stageline")
    if found and Path(found).resolve().parent == Path(sys.executable).parent.resolve():
        return "stageline"
    script = ROOT / "scripts" / "stageline"
    program = script if script.is_file() else Path(sys.executable).parent / "stageline"
    near = os.path.relpath(program)
    return str(program) if near.startswith("..") else near
