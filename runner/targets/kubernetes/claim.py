"""The claims for volumes of an environment."""

from uuid import UUID

from runner.targets.kubernetes import label, template, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.model import Named, Pod, Workload


async def delete(cluster: Cluster, namespace: str, environment: UUID, claim: str) -> str | None:
    """Delete the claim of that name: the cluster deletes the volume then, if its class says so."""
    path = f"{workload.CLAIMS.format(namespace)}/{claim}"
    found = await cluster.find(path, Named)
    if found is None:
        return None
    if found.labels.get(label.VOLUME) is None or found.labels.get(label.ENVIRONMENT) != str(environment):
        return f"claim {claim} was not created for this environment by Stageline"
    pods, _ = await cluster.list(workload.PODS.format(namespace), Pod)
    if any(claim in pod.spec.claims and not pod.has_ended for pod in pods):
        return "another Pod still uses it"
    for kind in (workload.DEPLOYMENTS, workload.STATEFUL_SETS):
        selector = label.selector(environment=environment)
        for each in (await cluster.list(kind.format(namespace), Workload, labelSelector=selector))[0]:
            record = records.of_workload(each.metadata.annotations)
            if record is not None and claim in template.claim_names(record.request):
                return f"{each.metadata.name} still uses it"
    await cluster.delete(path)
    return None
