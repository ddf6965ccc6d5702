"""The description of a deployment in plain text."""

from collections.abc import Iterator, Sequence

from cli.instance import ServicePlanJson
from cli.output import between, moment
from cli.run import DeploymentJson, DeploymentServiceJson
from cli.step import MARKS, StepJson
from cli.text import name_width, padded, plain, width

DOES = {
    "REDEPLOY": "renews services, changed or not",
    "RESTART": "restarts services",
    "START": "starts services",
    "STOP": "stops services",
    "DELETE": "stops services, and forgets their instances",
}
"""The effect of a deployment's action, in words."""


def _images(service: DeploymentServiceJson) -> list[str]:
    """Return the image of the build, or else that of the deploy."""
    images = [step.image for step in (service.build, service.deploy) if step.image is not None]
    return [str(images[0])] if images else []


def described(deployment: DeploymentJson, notes: Sequence[str] = ()) -> str:
    """Return the deployment in plain text, stage by stage; *notes* come before the stages."""
    return "\n".join(_lines(deployment, notes))


def _lines(deployment: DeploymentJson, notes: Sequence[str]) -> Iterator[str]:
    yield plain(f"Deployment {deployment.number} of {deployment.environment.name}: {deployment.status.lower()}")
    yield plain(f"  requested {moment(deployment.requested_at)} by {deployment.who}{because(deployment.reason)}")
    if deployment.source_number is not None:
        yield f"  {deployment.what}"
    if deployment.undone_number is not None:
        yield f"  rollback after the failure of deployment {deployment.undone_number}"
    if deployment.superseded_by_number is not None:
        yield f"  superseded by deployment {deployment.superseded_by_number}"
    if deployment.action in DOES:
        yield f"  {DOES[deployment.action]}"
    if deployment.revision is not None:
        yield plain(f"  revision {deployment.revision}")
    yield f"  pipeline version {deployment.pipeline_version}" + (f", took {deployment.took}" if deployment.took else "")
    yield from (plain(f"  {note}") for note in notes)
    size = name_width(plain(each.name) for stage in deployment.stages for each in stage.services)
    for stage in deployment.stages:
        times = between(stage.started_at, stage.finished_at)
        mark = MARKS.get(stage.status, "?")
        yield plain(f'{mark} stage {stage.position} "{stage.name}": {stage.status.lower()} {times}').rstrip()
        for service in stage.services:
            ports = f"  port {', '.join(map(str, service.ports))}" if service.ports else ""
            if service.plan and deployment.cancellation is None and service.status != "CANCELLED":
                yield from _planned(service, service.plan, size)
                continue
            ports += service.runs
            ports += f"  as in deployment {service.source_number}" if service.source_number is not None else ""
            steps = f"build {_step(service.build)}  {service.deploy.phase.lower()} {_step(service.deploy)}"
            name = plain(service.name)
            if width(name) > size:  # a long name has a line of its own
                yield f"  {MARKS.get(service.status, '?')} {name}"
                yield f"    {' ' * size}  {steps}{ports}".rstrip()
            else:
                yield f"  {MARKS.get(service.status, '?')} {padded(name, size)}  {steps}{ports}".rstrip()
            steps_of = service.build, service.deploy
            reasons = [step.failure_reason or step.unchanged_reason or step.skipped_reason for step in steps_of]
            yield from (plain(f"      {reason}") for reason in dict.fromkeys(reasons) if reason)
            yield from (plain(f"      {image}") for image in _images(service))
            yield from (plain(f"      {value}") for value in service.values)
    if deployment.status == "FAILED":
        yield f"Failed: {deployment.why}"
    if deployment.rollback:
        yield f"Deployment {deployment.rollback.number} rolls back the services that it renewed."


def _planned(service: DeploymentServiceJson, plan: ServicePlanJson, size: int) -> Iterator[str]:
    first, *changes = plan.lines()
    yield f"  {MARKS.get(service.status, '?')} {padded(plain(service.name), size)}  {first}"
    yield from (plain(f"      {change.strip()}") for change in changes)


def because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _step(step: StepJson) -> str:
    times = between(step.started_at, step.finished_at)
    attempt = f" (attempt {step.attempt})" if step.attempt > 1 else ""
    return f"{step.status.lower()} {times}".rstrip() + attempt
