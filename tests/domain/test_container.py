"""How a service runs as a container: what is refused, and what a target without containers does."""

from typing import Any

import pytest

from domain.container import Bind, BuildArgument, Container, Label, Publication, Pull, Volume
from domain.errors import InvalidSpec
from domain.spec import ServiceSpec, ServiceType, referring, refers, rewritten
from domain.validation import checked

DATA = Volume(name="data", path="/data")


@pytest.mark.parametrize(
    ("source", "container", "why"),
    [
        ({"run": "serve"}, {"user": "app"}, "container: only a service with an image or a buildContext runs"),
        ({"context": "."}, {"pull": Pull.NEVER}, "container.pull: an image that is built is not pulled"),
        (
            {"image": "x"},
            {"build_args": (BuildArgument(name="A", value=""),)},
            "container.buildArgs: only an image from a buildContext is built",
        ),
        ({"image": "x"}, {"build_target": "release"}, "container.buildTarget: only an image from a buildContext"),
        ({"image": "x"}, {"user": "a b"}, "container.user: 'a b' is not of the form app, 1000 or 1000:1000"),
        ({"image": "x"}, {"platform": "linux"}, "container.platform: 'linux' is not of the form linux/amd64"),
        ({"image": "x"}, {"memory": 5}, "container.memoryMib: 5 is not between 6 and 16,777,216 MiB"),
        ({"image": "x"}, {"memory_request": 5}, "container.memoryRequestMib: 5 is not between 6 and 16,777,216 MiB"),
        ({"image": "x"}, {"shared_memory": 1}, "container.sharedMemoryMib: 1 is not between 6 and 16,777,216 MiB"),
        (
            {"image": "x"},
            {"memory": 64, "memory_request": 65},
            "container.memoryRequestMib: 65 is more than the limit 64",
        ),
        (
            {"image": "x"},
            {"cpus": 0.5, "cpus_request": 0.75},
            "container.cpusRequest: 0.75 is more than the limit 0.5",
        ),
        ({"image": "x"}, {"cpus_request": 0.0}, "container.cpusRequest: 0 is not between 0.01 and 1,024"),
        ({"image": "x"}, {"replicas": 0}, "container.replicas: 0 is not between 1 and 100"),
        ({"image": "x"}, {"replicas": 101}, "container.replicas: 101 is not between 1 and 100"),
        ({"image": "x"}, {"entrypoint": ("a",) * 101}, "container.entrypoint: 101 arguments; at most 100 are allowed"),
        ({"image": "x"}, {"directory": "app"}, "container.workingDirectory: 'app' is not an absolute path"),
        (
            {"image": "x"},
            {"binds": (Bind(source="here", path="/a"),)},
            "container.binds: 'here' is not an absolute path",
        ),
        ({"image": "x"}, {"binds": (Bind(source="/a", path="b"),)}, "container.binds: 'b' is not an absolute path"),
        (
            {"image": "x"},
            {"volumes": (DATA,), "binds": (Bind(source="/a", path="/data"),)},
            "container.binds: two mounts have the path '/data'",
        ),
        (
            {"image": "x"},
            {"labels": (Label(name="a b", value=""),)},
            "container.labels: 'a b' is not a valid name of a label",
        ),
        (
            {"image": "x"},
            {"labels": (Label(name="stageline.owner", value="me"),)},
            "container.labels: 'stageline.owner' is one of Stageline's own",
        ),
        (
            {"image": "x"},
            {"labels": (Label(name="a", value="1"), Label(name="a", value="2"))},
            "container.labels: 'a' is not a valid name of a label, or is given twice",
        ),
        ({"image": "x"}, {"cpus": 0.0}, "container.cpus: 0 is not between 0.01 and 1,024"),
        ({"image": "x"}, {"command": ("a",) * 101}, "container.command: 101 arguments; at most 100 are allowed"),
        ({"image": "x"}, {"volumes": (DATA,) * 21}, "container.volumes: 21 volumes; at most 20 are allowed"),
        ({"image": "x"}, {"volumes": (DATA, DATA)}, "container.volumes: two mounts have the path '/data'"),
        ({"image": "x"}, {"volumes": (Volume(name="a/b", path="/a"),)}, "container.volumes: 'a/b' is not a name"),
        ({"image": "x"}, {"volumes": (Volume(name="a", path="a"),)}, "container.volumes: 'a' is not an absolute path"),
        (
            {"context": "."},
            {"build_args": (BuildArgument(name="A-B", value=""),)},
            "container.buildArgs: 'A-B' is not a valid name of an argument",
        ),
        (
            {"image": "x"},
            {"publish": (Publication(host_port=80),)},
            "container.publish: port 0 (counted from 0) is published; the service has 0",
        ),
        (
            {"image": "x", "ports": (80,)},
            {"publish": (Publication(host_port=80), Publication(host_port=81))},
            "container.publish: port 0 (counted from 0) is published twice",
        ),
        (
            {"image": "x", "ports": (80, 81)},
            {"publish": (Publication(host_port=80), Publication(port=1, host_port=80))},
            "container.publish: two ports are published at the same one",
        ),
        (
            {"image": "x", "ports": (80,)},
            {"publish": (Publication(host_port=0),)},
            "container.publish: 0 is not between 1 and 65535",
        ),
        (
            {"image": "x", "ports": (80,)},
            {"publish": (Publication(host_port=80, address="here"),)},
            "container.publish: 'here' is not an IP address",
        ),
    ],
)
def test_what_no_container_can_have_is_refused(source: dict[str, Any], container: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        checked(ServiceSpec(**source, container=Container(**container)), ServiceType.CONTAINER)
    assert why in str(refused.value)


def test_a_whole_container_is_valid() -> None:
    container = Container(
        entrypoint=("/bin/sh", "-c", ""),
        command=("serve", ""),
        directory="/srv",
        user="1000:1000",
        publish=(Publication(host_port=80, address="::1"),),
        volumes=(DATA,),
        binds=(Bind(source="/etc/hosts", path="/etc/hosts", read_only=True),),
        labels=(Label(name="traefik.http.routers.api.rule", value=""),),
        memory=64,
        memory_request=64,
        cpus=0.5,
        cpus_request=0.25,
        shared_memory=128,
        replicas=3,
        build_args=(BuildArgument(name="VERSION", value=""),),
        build_target="release",
        platform="linux/arm/v7",
    )
    spec = ServiceSpec(context=".", ports=(80,), container=container)
    assert checked(spec, ServiceType.CONTAINER) == spec


def test_a_job_has_no_replicas() -> None:
    with pytest.raises(InvalidSpec, match=r"container\.replicas: a JOB runs once"):
        checked(ServiceSpec(image="x", container=Container(replicas=2)), ServiceType.JOB)


@pytest.mark.parametrize("field", ["entrypoint", "command"])
def test_the_arguments_of_a_container_may_have_references(field: str) -> None:
    given: dict[str, Any] = {field: ("--at", "${{ environment.name }}")}
    spec = ServiceSpec(image="x", container=Container(**given))
    assert refers(spec)
    assert list(referring(spec))[-1] == (f"container.{field}", "${{ environment.name }}")
    filled = rewritten(spec, lambda text: text.replace("${{ environment.name }}", "prod"))
    assert getattr(filled.container, field) == ("--at", "prod")
