"""The record of a workload: the source from which its objects are built, kept in one of its annotations."""

import time

import msgspec
from msgspec import Struct

from runner.targets import registry
from runner.targets.contract import StepRequest
from runner.targets.kubernetes import label

FORM = 1
"""Number of the form of the objects that follow from a record. A change of them in `workload.py` raises it."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The attempt that a workload carries out, and the state before it.

    *secrets* are the names of variables whose values are in the Secret of the attempt. *image* is what runs; with
    *has_login* another Secret has the credentials for its registry. *began* is the time of the attempt, in seconds
    since 1970. *is_settled* is whether it was found healthy before it was applied, as when a failed attempt leads back
    to it. *previous* is the record to which a failure of this one leads back. *form* is the `FORM` of the objects that
    were applied; 0 if that is unknown.
    """

    request: StepRequest
    image: str
    secrets: tuple[str, ...] = ()
    began: float = 0.0
    is_stopped: bool = False
    is_settled: bool = False
    previous: "Record | None" = None
    form: int = 0
    has_login: bool = False

    @property
    def attempt(self) -> str:
        return label.digest(self.request)

    @property
    def age(self) -> float:
        """Time since the attempt began, over servers, in seconds."""
        return max(0.0, time.time() - self.began)


def of(request: StepRequest, image: str) -> Record:
    """Return the record of a new attempt, which has no secrets in it."""
    return Record(
        request=request.without_secrets(),
        image=image,
        secrets=secret_variables(request),
        began=time.time(),
        form=FORM,
        has_login=registry.config(request.logins, image) is not None,
    )


def secret_variables(request: StepRequest) -> tuple[str, ...]:
    """Return the names of the variables that have secrets in their values."""
    shown = {variable.name: variable.value for variable in request.shown_spec.env}
    return tuple(each.name for each in request.spec.env if shown.get(each.name) != each.value)


def encode(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def of_workload(annotations: dict[str, str]) -> Record | None:
    """Return the record in the annotations of a workload; None if it has none, as one of somebody else's."""
    try:
        return msgspec.json.decode(annotations[label.RECORD], type=Record)
    except (KeyError, msgspec.DecodeError):
        return None
