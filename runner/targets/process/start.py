"""
The start of an attempt.

That of an instance is stored in a file, so that the instance can be started again.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runner.targets.contract import StepRequest
from runner.targets.process import command
from runner.targets.process.attempt import ProcessAttempt
from runner.targets.process.confinement import Confinement
from store.sqlite import disk

OWN = "start"
"""Name of the file in the folder of an instance that has its start."""

REPLACED = "replaced"
"""Name of the file in the folder of an attempt that has the start of the old instance, which it stopped first."""


class InstanceStart(Struct, frozen=True, kw_only=True):
    """The request of an instance, and the ports that it got."""

    request: StepRequest
    ports: tuple[int, ...]


_decode = msgspec.json.Decoder(InstanceStart).decode


def begin(
    attempt: ProcessAttempt,
    request: StepRequest,
    commands: Sequence[str],
    ports: Sequence[int],
    confinement: Confinement,
    own: Mapping[str, str] = {},
    run: int = 0,
) -> None:
    """Start *commands* of *request* with the variables in *own*, too; see `ProcessAttempt.begin`."""
    visible, hidden = command.hidden(request, commands)
    attempt.begin(
        visible,
        command.directory(request),
        {**command.variables(request, ports, confinement), **own, **hidden},
        ports,
        name=request.name,
        grace=request.spec.stop_grace,
        signal=request.spec.stop_signal,
        confinement=confinement,
        run=run,
    )


def write(file: Path, content: Struct) -> None:
    """Store *content* whole or not at all, for the owner only; the values of secrets are left out."""
    if isinstance(content, InstanceStart):
        content = replace(content, request=content.request.without_secrets())
    disk.make_folder(file.parent)
    part = file.with_name(f"{file.name}.part")
    with open(part, "wb", opener=disk.open_private) as written:
        written.write(msgspec.json.encode(content))
        written.flush()
        os.fsync(written.fileno())
    part.replace(file)


def read(file: Path) -> InstanceStart | None:
    """Return the stored start, which may need secrets; None if there is none, as of an instance of a former version."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return _decode(file.read_bytes())
    return None
