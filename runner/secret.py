"""The secrets of a step: opened when it is carried out, and part of no event, file or argument of a process."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.handler import States
from application.secret import Owner, OwnerKind, Vault
from domain import deployment as deployments
from domain import pipeline as pipelines
from domain import project as projects
from domain.deployment.state import Deployment
from domain.deployment.step import Step
from domain.pipeline.ref import ServiceId
from domain.pipeline.state import Pipeline
from domain.project import Project
from domain.secret import Secret
from domain.spec import ServiceSpec
from runner.mask import MASK
from runner.retry import retry
from runner.targets import registry
from runner.targets.contract import RegistryLogin, StepFailed, StepRequest

PREFIX = "secrets."
"""Beginning of a reference to a secret, in its canonical form."""


class FilledSpec(Struct, frozen=True):
    """A specification with all values; *shown* has masks in the places of the *secrets*."""

    spec: ServiceSpec
    shown: ServiceSpec | None = None
    secrets: tuple[str, ...] = ()


class SecretOpener:
    """Fills specifications with the secrets that *vault* opens."""

    def __init__(self, states: States, vault: Vault) -> None:
        self._states, self._vault = states, vault

    async def filled(self, deployment: Deployment, step: Step) -> FilledSpec:
        """Return the specification of a running *step*; raises `Refused`, or `StepFailed` if a secret is missing."""
        run = deployment.run_of(step.service)
        assert run is not None, "the step is one of the plan"
        values = run.step(step.phase).values
        versions = {
            value.reference.removeprefix(PREFIX): value.value for value in values if value.reference.startswith(PREFIX)
        }
        if not versions:
            return FilledSpec(deployment.filled(step))
        assert deployment.environment is not None, "the deployment was planned"
        opened = await self._opened(deployment.environment, versions)
        return FilledSpec(
            deployment.filled(step, {f"{PREFIX}{name}": value for name, value in opened.items()}),
            deployment.filled(step, {f"{PREFIX}{name}": MASK for name in opened}),
            tuple(opened.values()),
        )

    async def again(self, request: StepRequest) -> StepRequest:
        """Return a stored request with the secrets that it had, or with the present ones if their values are destroyed.

        Raises `StepFailed` if one is missing.
        """
        if not request.needs_secrets:
            return request
        loaded = await retry(lambda: self._states.load(deployments.decider, request.deployment))
        step = Step(service=ServiceId(request.service), phase=request.phase, attempt=request.attempt)
        found = await self.filled(loaded.state, step)
        return replace(request, spec=found.spec, shown=found.shown, secrets=found.secrets)

    async def logins(self, environment: UUID) -> tuple[RegistryLogin, ...]:
        """Return the credentials for registries: those of the environment before those of its project.

        They are the present ones: no plan has them. Raises `StepFailed` if they can't be read.
        """
        pipeline, project = await self._owners(environment)
        found: dict[str, RegistryLogin] = {}
        for kind, id_, known in (
            (OwnerKind.ENVIRONMENT, environment, pipeline.secrets),
            (OwnerKind.PROJECT, pipeline.project, project.secrets),
        ):
            secret = known.find(registry.NAME)
            if secret is not None and id_ is not None:
                for login in registry.parse(await self._value(Owner(kind, id_), secret)):
                    found.setdefault(login.host, login)
        return tuple(found.values())

    async def _owners(self, environment: UUID) -> tuple[Pipeline, Project]:
        pipeline = (await retry(lambda: self._states.load(pipelines.decider, environment))).state
        assert pipeline.project is not None, "a deployment is of an environment that exists"
        owner = pipeline.project
        return pipeline, (await retry(lambda: self._states.load(projects.decider, owner))).state

    async def _value(self, owner: Owner, secret: Secret) -> str:
        value = (await retry(partial(self._vault.open, owner, (secret,)))).get(secret.name)
        if value is None:
            remedy = f"restore the keys, or set it again (stageline secret set {secret.name})"
            raise StepFailed(f"secret {secret.name!r} can't be read, because its key is missing: {remedy}")
        return value

    async def _opened(self, environment: UUID, versions: Mapping[str, str]) -> Mapping[str, str]:
        pipeline, project = await self._owners(environment)
        assert pipeline.project is not None
        levels = {
            OwnerKind.ENVIRONMENT: (environment, pipeline.secrets),
            OwnerKind.PROJECT: (pipeline.project, project.secrets),
        }
        opened: dict[str, str] = {}
        for name, version in versions.items():
            kind, _, number = version.partition(" ")
            id_, known = levels[OwnerKind(kind)]
            secret = known.at_version(int(number)) or known.find(name)
            if secret is None:
                raise StepFailed(f"secret {name!r} was deleted: set it (stageline secret set {name}), and deploy again")
            opened[name] = await self._value(Owner(OwnerKind(kind), id_), secret)
        return opened
