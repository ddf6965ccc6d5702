"""The refusal to read the output of services in a cluster."""

from uuid import UUID

import pytest

from domain.errors import InvalidArgument
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from runner.cluster_log import ClusterLogs

OWN = EnvironmentId(UUID(int=1)), ServiceId(UUID(int=2))


@pytest.mark.parametrize(
    ("namespace", "named"), [(None, f"stageline-{UUID(int=1)}"), ("shop", "shop")], ids=["own", "given"]
)
async def test_the_output_of_a_service_in_a_cluster_is_refused_with_the_command_that_reads_it(
    namespace: str | None, named: str
) -> None:
    logs, command = ClusterLogs(namespace), f"kubectl logs --namespace {named} --selector stageline/service={OWN[1]}"
    with pytest.raises(InvalidArgument, match=command):
        await logs.last(*OWN, tail=10, since=None)
    with pytest.raises(InvalidArgument, match=command):
        await logs.after(*OWN, cursor="")
