"""The import of Compose files."""

from collections.abc import Sequence
from pathlib import Path

from cli import file as files
from cli.compose.note import Notes
from cli.compose.pipeline import convert
from cli.compose.stack import Stack, environment, found_files
from cli.imported import ImportedPipeline


def read(given: Sequence[Path], profiles: Sequence[str] | None, env_files: Sequence[Path]) -> ImportedPipeline:
    """Return the pipeline document of the *given* files, or of those that Compose finds here; raise `Misused`."""
    paths = given or found_files()
    base = Path.cwd() if str(paths[0]) == files.STDIN else paths[0].absolute().parent
    stack = Stack(environment(base, env_files), Notes())
    for path in paths:
        stack.add(path, base)
    chosen = profiles if profiles is not None else stack.variables.get("COMPOSE_PROFILES", "").split(",")
    return convert(stack, [name.strip() for name in chosen])
