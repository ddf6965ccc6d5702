"""
The values of references, which are looked up when a step starts and pinned in the event of its start.

The services of an environment on the target PROCESS run on one machine, and reach each other at its loopback address.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.deployment.plan import Endpoint, Plan, PlannedService
from domain.errors import InvalidSpec, UnmetReference
from domain.pipeline import need as needs
from domain.reference import (
    Fact,
    FactReference,
    HostReference,
    OutputReference,
    PortReference,
    Reference,
    SecretReference,
    UrlReference,
    VariableReference,
    filled,
)
from domain.spec import ServiceSpec, ServiceType, Variable, referring, refers, rewritten
from domain.variable import merged

HOST = "127.0.0.1"
"""The host of every service on the target PROCESS."""

MAX_FILLED = 100_000
"""Maximum length of a text with the values of its references, in characters."""

MAX_OUTPUTS = 100
"""Maximum number of outputs of a JOB."""

MAX_OUTPUT = 10_000
"""Maximum length of an output's value, in characters."""

MAX_ALL_OUTPUTS = 100_000
"""Maximum size of all outputs of a JOB together, in bytes."""


class Value(Struct, frozen=True, kw_only=True, gc=False):
    """The value of a reference, which is written in its canonical form."""

    reference: str
    value: str


class SecretVersion(Struct, frozen=True, kw_only=True, gc=False):
    """The version of the secret *name*: "environment 3" or "project 3", by its owner."""

    name: str
    version: str


class Known(Struct, frozen=True, kw_only=True, gc=False):
    """A service that others refer to; *endpoint* is None until it is deployed."""

    service: PlannedService
    endpoint: Endpoint | None = None


class Lookup(Struct, frozen=True, kw_only=True, gc=False):
    """The known values: the *plan*, the *number* of the deployment, and a service by its name in any case.

    Of the *secrets* only the versions are known here, by name.
    """

    plan: Plan
    number: int
    service: Callable[[str], Known | None]
    secrets: Mapping[str, str] = {}

    def values(self, spec: ServiceSpec) -> tuple[Value, ...]:
        """Return the known values of the references in *spec*."""
        if not (self.plan.environment and refers(spec)):
            return ()
        found = {str(reference): self._value(reference) for _, reference in needs.readable(spec)}
        return tuple(Value(reference=name, value=value) for name, value in found.items() if isinstance(value, str))

    def filled(
        self,
        service: PlannedService,
        values: tuple[Value, ...],
        variables: tuple[Variable, ...],
        opened: Mapping[str, str] = {},
    ) -> ServiceSpec:
        """Return the specification of *service* with *values*, and with the *variables* of its environment.

        *opened* are the values of references to secrets, in whose places otherwise the versions stand.
        Raises `UnmetReference` if a value is missing, and `InvalidSpec` if a text is too long with its values.
        """
        spec, plan = service.spec, self.plan
        if not plan.environment:
            return spec
        if refers(spec):
            known = {value.reference: value.value for value in values} | dict(opened)
            for field, reference in needs.references_in(spec):
                if str(reference) not in known:
                    raise self._unmet(service, field, reference)
            spec = rewritten(spec, lambda text: filled(text, known))
            for field, text in referring(spec):
                if len(text) > MAX_FILLED:
                    why = f"{len(text):,} characters with its values; at most {MAX_FILLED:,} are allowed"
                    raise InvalidSpec(field=field, why=why)
        return replace(spec, env=merged(variables, spec.env)) if variables else spec

    def _unmet(self, service: PlannedService, field: str, reference: Reference) -> UnmetReference:
        value = self._value(reference)
        why, remedy = ("it has no value", "deploy again") if isinstance(value, str) else value
        return needs.unmet(service, field, reference, why, remedy)

    def _value(self, reference: Reference) -> str | tuple[str, str]:
        """Return the value of *reference*, or why it has none and the remedy."""
        plan = self.plan
        match reference:
            case FactReference(fact=fact):
                return self._fact(fact)
            case VariableReference(name=name):
                value = next((each.value for each in plan.variables if each.name == name), None)
                return ("there is no such variable", "set it, and deploy again") if value is None else value
            case SecretReference(name=name):
                remedy = f"set it (stageline secret set {name}), and deploy again"
                return self.secrets.get(name) or ("there was no such secret when the deployment started", remedy)
            case HostReference():
                return HOST
            case PortReference(service=name, index=index):
                return self._port(name, index)
            case UrlReference(service=name):
                port = self._port(name, 0)
                known = self.service(name)
                is_database = known is not None and known.service.type is ServiceType.DATABASE
                return f"{'tcp' if is_database else 'http'}://{HOST}:{port}" if isinstance(port, str) else port
            case OutputReference(service=name, key=key):
                return self._output(name, key)
            case _:
                assert_never(reference)

    def _fact(self, fact: Fact) -> str:
        match fact:
            case Fact.ENVIRONMENT_NAME:
                return self.plan.environment
            case Fact.PROJECT_NAME:
                return self.plan.project
            case Fact.DEPLOYMENT_NUMBER:
                return str(self.number)
            case Fact.DEPLOYMENT_REVISION:
                return self.plan.revision or ""
            case _:
                assert_never(fact)

    def _port(self, name: str, index: int) -> str | tuple[str, str]:
        known = self.service(name)
        ports: tuple[int, ...] = ()
        if known is not None and known.endpoint is not None:
            ports = known.endpoint.ports
        elif known is not None and known.service.is_skipped:  # a fixed port is known
            ports = known.service.spec.ports
        if index < len(ports) and ports[index]:
            return str(ports[index])
        return f"{name!r} is not deployed", f"deploy {name!r} first"

    def _output(self, name: str, key: str) -> str | tuple[str, str]:
        known = self.service(name)
        if known is None or known.endpoint is None:
            return f"{name!r} has not run to its end", f"deploy {name!r} first"
        outputs = {output.key: output.value for output in known.endpoint.outputs}
        if key in outputs:
            return outputs[key]
        wrote = ", ".join(outputs) or "nothing"
        remedy = f"let {name!r} write the line {key}=… to the file that STAGELINE_OUTPUT names"
        return f"{name!r} wrote no output {key!r} (it wrote {wrote})", remedy
