"""The start of an instance, stored in a file, so that the instance can be started again."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runner.targets.contract import StepRequest
from store.sqlite import disk

OWN = "start"
"""Name of the file in the folder of an instance that has its start."""

REPLACED = "replaced"
"""Name of the file in the folder of an attempt that has the start of the old instance, which it stopped first."""


class InstanceStart(Struct, frozen=True, kw_only=True):
    """The request of an instance, and the ports that it got."""

    request: StepRequest
    ports: tuple[int, ...]


def write(file: Path, start: InstanceStart) -> None:
    """Store *start* whole or not at all, for the owner only; the values of secrets are left out."""
    disk.make_folder(file.parent)
    part = file.with_name(f"{file.name}.part")
    with open(part, "wb", opener=disk.open_private) as written:
        written.write(msgspec.json.encode(replace(start, request=start.request.without_secrets())))
        written.flush()
        os.fsync(written.fileno())
    part.replace(file)


def read(file: Path) -> InstanceStart | None:
    """Return the stored start, which may need secrets; None if there is none, as of an instance of a former version."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(file.read_bytes(), type=InstanceStart)
    return None
