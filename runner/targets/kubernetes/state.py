"""The state of one attempt, in the view of its environment."""

from domain.spec import ServiceType
from runner.targets.contract import StepRequest
from runner.targets.docker.image import repository_of
from runner.targets.kubernetes import label, verdict
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.model import Pod, Workload
from runner.targets.kubernetes.place import Place
from runner.targets.kubernetes.rollout import is_settled


class AttemptState:
    """The state of the attempt of *request* at *place*."""

    def __init__(self, place: Place, request: StepRequest) -> None:
        self.place, self.request = place, request
        self.view, self.digest = place.view, label.digest(request)
        self.is_job = request.type is ServiceType.JOB

    @property
    def reason(self) -> str | None:
        """The reason for which the attempt must not go on; None if it may."""
        found = self.view.verdicts.get(verdict.name(self.request))
        return None if found is None else found.data[verdict.REASON]

    @property
    def workload(self) -> Workload | None:
        """The workload that carries out the attempt."""
        return next((each for _, each in self.place.workloads(self.request.service) if self.is_own(each)), None)

    @property
    def has_begun(self) -> bool:
        return self.workload is not None or label.attempt(self.request) in self.view.jobs

    @property
    def is_settled(self) -> bool:
        """Whether the service was found healthy."""
        found = self.workload
        record = None if found is None else records.of_workload(found.metadata.annotations)
        return found is not None and record is not None and is_settled(found, record)

    @property
    def pod(self) -> Pod | None:
        """The oldest Pod of the attempt."""
        own = [pod for pod in self.place.pods(self.request.service) if self.is_own(pod)]
        return min(own, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name), default=None)

    @property
    def image(self) -> str | None:
        """The image that runs, by its digest; None for one that a node has from no registry."""
        status = None if self.pod is None else self.pod.container
        name, _, digest = ("", "", "") if status is None else status.image_id.partition("@")
        return f"{repository_of(self.request.spec.image or name)}@{digest}" if digest else None

    def is_own(self, found: Workload | Pod) -> bool:
        return found.metadata.labels.get(label.ATTEMPT) == self.digest
