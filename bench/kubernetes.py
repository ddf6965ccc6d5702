"""
The Kubernetes target: fifty services applied, watched until they are available, and their output read.

    python -m tests.targets.cluster python -m bench.kubernetes [--services N]

It counts the requests to the API server. The first deployment begins with nothing, the second replaces all services.
"""

import argparse
import asyncio
import os
import time
from uuid import UUID, uuid4

from domain.container import Container
from domain.deployment.step import Phase
from domain.spec import ServiceSpec, ServiceType
from runner.targets.contract import StepRequest
from runner.targets.kubernetes import access, label
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.executor import KubernetesExecutor
from tests.runner.target import Printed
from tests.targets.cluster import CONTEXT, image

REQUESTS = 4.0
"""Maximum number of requests for each service."""

SERVE = "echo up; exec httpd -f -p $PORT -h /www"


def services(number: int, count: int, environment: UUID) -> list[StepRequest]:
    container = Container(command=("sh", "-c", SERVE))
    return [
        StepRequest(
            environment=environment,
            deployment=UUID(int=number),
            number=number,
            service=UUID(int=index + 1),
            name=f"service-{index}",
            type=ServiceType.APPLICATION,
            spec=ServiceSpec(image=image(), ports=(8080,), container=container, stop_grace=1.0),
            phase=Phase.DEPLOY,
            attempt=1,
        )
        for index in range(count)
    ]


async def measure(count: int) -> None:
    cluster = Cluster(access.find(os.environ[CONTEXT]))
    executor = KubernetesExecutor(cluster, UUID(int=1000))
    environment = uuid4()
    requests: list[StepRequest] = []
    for number, words in ((1, "new"), (2, "replaced")):
        before, began, processor = cluster.requests, time.perf_counter(), time.process_time()
        requests = services(number, count, environment)
        outputs = [Printed() for _ in requests]
        await asyncio.gather(*(executor.deploy(*pair) for pair in zip(requests, outputs, strict=True)))
        each = (cluster.requests - before) / count
        took, used = time.perf_counter() - began, time.process_time() - processor
        read = sum(output.lines == ["up"] for output in outputs)
        print(f"{count} services {words}: {took:.1f} s, {each:.2f} requests each (at most {REQUESTS:g} are allowed),")
        print(f"  {used * 1000 / count:.0f} ms of processor time each; the output of {read} was read")
    for request in requests:
        await executor.delete(request.environment, request.service)
    await cluster.delete(f"/api/v1/namespaces/{label.namespace(environment)}")
    await cluster.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count the requests of the Kubernetes target.")
    parser.add_argument("--services", type=int, default=50)
    asyncio.run(measure(parser.parse_args().services))
