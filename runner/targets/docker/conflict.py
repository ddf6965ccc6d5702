"""Why two instances of a service can't run side by side: a published port, a volume or a mounted file."""

from collections.abc import Iterator

from domain.spec import ServiceSpec


def of(old: ServiceSpec, new: ServiceSpec) -> str | None:
    """Return why the instance of *new* can't run beside that of *old*; None if it can."""
    shared = {each.host_port for each in old.container.publish} & {each.host_port for each in new.container.publish}
    if shared:
        return f"port {min(shared)} is published by one instance at a time"
    if mounts := _written(old, new) & _written(new, old):
        return f"{min(mounts)} is used by one instance at a time"
    return "instances may not run side by side" if new.stop_first else None


def _written(one: ServiceSpec, other: ServiceSpec) -> set[str]:
    """Return the mounts of *one*, but those that neither it nor *other* writes to."""
    written = {mount for each in (one, other) for mount, read_only in _mounts(each) if not read_only}
    return {mount for mount, _ in _mounts(one)} & written


def _mounts(spec: ServiceSpec) -> Iterator[tuple[str, bool]]:
    for volume in spec.container.volumes:
        yield f"volume {volume.name}", volume.read_only
    for bind in spec.container.binds:
        yield bind.source, bind.read_only
