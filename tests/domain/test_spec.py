import math

import pytest
from msgspec.structs import replace

from domain.errors import InvalidSpec
from domain.spec import (
    Backoff,
    CommandCheck,
    Health,
    HttpCheck,
    Restart,
    ServiceSpec,
    ServiceType,
    TcpCheck,
    Variable,
)
from domain.validation import checked


def variables(*names: str) -> tuple[Variable, ...]:
    return tuple(Variable(name=name, value="1") for name in names)


def http(path: str = "/", port: int = 0) -> Health:
    return Health(check=HttpCheck(path=path, port=port))


GOOD = {
    "nothing at all": ServiceSpec(),
    "an image": ServiceSpec(image="postgres:17"),
    "a context": ServiceSpec(context="api"),
    "a context with its Dockerfile": ServiceSpec(context="api", dockerfile="api/Dockerfile"),
    "a run command": ServiceSpec(run="./api"),
    "a directory to build and run in": ServiceSpec(directory="api", build=("make", "make install"), run="./api"),
    "as many commands as may be": ServiceSpec(build=("make",) * 50),
    "as long a text as may be": ServiceSpec(run="x" * 10_000),
    "as much text as may be": ServiceSpec(build=("x" * 9_999,) * 10, run="x" * 10),
    "as many variables as may be": ServiceSpec(env=variables(*(f"V{n}" for n in range(200)))),
    "every character of a variable's name": ServiceSpec(env=variables("_A.b-9", "-", ".", "a", "A", "x" * 255)),
    "an empty and a many-lined value": ServiceSpec(
        env=(Variable(name="EMPTY", value=""), Variable(name="KEY", value="one\ntwo\n=ü 🚀"))
    ),
    "as many ports as may be": ServiceSpec(ports=tuple(range(1, 21))),
    "the first and the last port": ServiceSpec(ports=(1, 65_535)),
    "free ports": ServiceSpec(ports=(0, 0, 8000)),
    "a check of the last port": ServiceSpec(ports=(80, 81), health=http("/up?deep=1&p=%20", 1)),
    "a check of a connection": ServiceSpec(ports=(80,), health=Health(check=TcpCheck())),
    "a check that needs no port": ServiceSpec(health=Health(check=CommandCheck(command="pg_isready"))),
    "as many checks as may be": ServiceSpec(
        ports=(80,), health=Health(check=TcpCheck(), also=(CommandCheck(command="true"),) * 8 + (HttpCheck(),))
    ),
    "as many retries as may be": ServiceSpec(retries=10),
    "the shortest times": ServiceSpec(build_timeout=0.01, deploy_timeout=0.01),
    "the longest times": ServiceSpec(build_timeout=86_400, deploy_timeout=86_400),
}

ONE_SOURCE = "a service has one source, but {} is given, too"
TEXT = "at most 10,000 characters, without NUL and lone surrogates, are allowed"
PATH = "the path must begin with / and contain no spaces"

BAD = {
    "an image and a context": (
        ServiceSpec(image="api", context="."),
        "buildContext",
        ONE_SOURCE.format("image"),
    ),
    "an image and a Dockerfile": (
        ServiceSpec(image="api", dockerfile="Dockerfile"),
        "dockerfile",
        ONE_SOURCE.format("image"),
    ),
    "an image and a run command": (ServiceSpec(image="api", run="./api"), "runCommand", ONE_SOURCE.format("image")),
    "an image and a directory": (
        ServiceSpec(image="api", directory="."),
        "workingDirectory",
        ONE_SOURCE.format("image"),
    ),
    "a context and build commands": (
        ServiceSpec(context=".", build=("make",)),
        "buildCommands",
        ONE_SOURCE.format("buildContext"),
    ),
    "all three": (
        ServiceSpec(image="api", context=".", run="./api"),
        "buildContext",
        ONE_SOURCE.format("image"),
    ),
    "a Dockerfile without its context": (ServiceSpec(dockerfile="Dockerfile"), "dockerfile", "it needs a buildContext"),
    "an empty image": (ServiceSpec(image=""), "image", "it is empty"),
    "an empty context": (ServiceSpec(context=" "), "buildContext", "it is empty"),
    "an empty Dockerfile": (ServiceSpec(context=".", dockerfile="\t"), "dockerfile", "it is empty"),
    "an empty directory": (ServiceSpec(directory=""), "workingDirectory", "it is empty"),
    "an empty run command": (ServiceSpec(run=" \n"), "runCommand", "it is empty"),
    "an empty build command": (ServiceSpec(build=("make", "")), "buildCommands", "it is empty"),
    "an empty check": (ServiceSpec(health=Health(check=CommandCheck(command=""))), "healthCheck", "it is empty"),
    "too many commands": (ServiceSpec(build=("make",) * 51), "buildCommands", "51 commands; at most 50 are allowed"),
    "too long an image": (ServiceSpec(image="x" * 10_001), "image", TEXT),
    "too long a value": (ServiceSpec(env=(Variable(name="A", value="x" * 10_001),)), "env", TEXT),
    "too long a check": (ServiceSpec(health=Health(check=CommandCheck(command="x" * 10_001))), "healthCheck", TEXT),
    "a NUL": (ServiceSpec(run="a\0b"), "runCommand", TEXT),
    "a NUL in a value": (ServiceSpec(env=(Variable(name="A", value="\0"),)), "env", TEXT),
    "a lone surrogate": (ServiceSpec(run="a\ud800"), "runCommand", TEXT),
    **{
        f"a control character in {field}": (spec, field, "control characters are not allowed")
        for field, spec in (
            ("workingDirectory", ServiceSpec(directory="a\x1b[2Jb")),
            ("image", ServiceSpec(image="redis:8\nv9 admin")),
            ("buildContext", ServiceSpec(context="\u202etxt")),
            ("dockerfile", ServiceSpec(context=".", dockerfile="a\tb")),
        )
    },
    "a lone surrogate in a value": (ServiceSpec(env=(Variable(name="A", value="\udfff"),)), "env", TEXT),
    "too much text": (
        ServiceSpec(build=("x" * 10_000,) * 10, run="x"),
        "buildCommands",
        "all texts together may have at most 100,000 characters",
    ),
    "too many variables": (
        ServiceSpec(env=variables(*(f"V{n}" for n in range(201)))),
        "env",
        "201 variables; at most 200 are allowed",
    ),
    "too many ports": (ServiceSpec(ports=tuple(range(1, 22))), "ports", "21 ports; at most 20 are allowed"),
    "a port below all": (ServiceSpec(ports=(-1,)), "ports", "-1 is not between 0 and 65535, or is given twice"),
    "a port above all": (ServiceSpec(ports=(65_536,)), "ports", "65536 is not between 0 and 65535, or is given twice"),
    "a port given twice": (ServiceSpec(ports=(80, 0, 80)), "ports", "80 is not between 0 and 65535, or is given twice"),
    "fewer than no retries": (ServiceSpec(retries=-1), "retries", "-1 is not between 0 and 10"),
    "a shrinking backoff": (
        ServiceSpec(backoff=Backoff(factor=0.5)),
        "backoff.factor",
        "0.5 is not between 1 and 10",
    ),
    "more jitter than there is": (
        ServiceSpec(backoff=Backoff(jitter=1.5)),
        "backoff.jitter",
        "1.5 is not between 0 and 1",
    ),
    "a backoff without a wait": (
        ServiceSpec(backoff=Backoff(initial=0)),
        "backoff.initialSeconds",
        "0 is not between 0.01 and 86,400 seconds",
    ),
    "a backoff of more than a day": (
        ServiceSpec(backoff=Backoff(max=1e6)),
        "backoff.maxSeconds",
        "1e+06 is not between 0.01 and 86,400 seconds",
    ),
    "a restart backoff that shrinks": (
        ServiceSpec(restart_backoff=Backoff(factor=0.5)),
        "restartBackoff.factor",
        "0.5 is not between 1 and 10",
    ),
    "no restart at all": (ServiceSpec(restart_limit=0), "restartLimit", "0 is not between 1 and 1000"),
    "too many restarts": (ServiceSpec(restart_limit=1001), "restartLimit", "1001 is not between 1 and 1000"),
    "no failed check": (
        ServiceSpec(health=Health(check=CommandCheck(command="true"), failures=0)),
        "healthCheck.failureThreshold",
        "0 is not between 1 and 100",
    ),
    "too many retries": (ServiceSpec(retries=11), "retries", "11 is not between 0 and 10"),
    "a path that begins nowhere": (ServiceSpec(ports=(80,), health=http("up")), "healthCheck", PATH),
    "no path": (ServiceSpec(ports=(80,), health=http("")), "healthCheck", PATH),
    "a path with a space": (ServiceSpec(ports=(80,), health=http("/a b")), "healthCheck", PATH),
    "a path with a line of its own": (ServiceSpec(ports=(80,), health=http("/\r\nHost: other")), "healthCheck", PATH),
    "a check of a port that is not there": (
        ServiceSpec(ports=(80,), health=http(port=1)),
        "healthCheck",
        "the check uses port 1 (counted from 0), but the service has 1",
    ),
    "a check of a port below all": (
        ServiceSpec(ports=(80,), health=Health(check=TcpCheck(port=-1))),
        "healthCheck",
        "the check uses port -1 (counted from 0), but the service has 1",
    ),
    "too many checks": (
        ServiceSpec(ports=(80,), health=Health(check=TcpCheck(), also=(TcpCheck(),) * 10)),
        "healthCheck",
        "11 checks; at most 10 are allowed",
    ),
    "a further check without a command": (
        ServiceSpec(ports=(80,), health=Health(check=TcpCheck(), also=(CommandCheck(command=" "),))),
        "healthCheck",
        "it is empty",
    ),
    "a further check of no path": (
        ServiceSpec(ports=(80,), health=Health(check=TcpCheck(), also=(HttpCheck(path="up"),))),
        "healthCheck",
        PATH,
    ),
    "a further check of a port that is not there": (
        ServiceSpec(ports=(80,), health=Health(check=TcpCheck(), also=(TcpCheck(port=1),))),
        "healthCheck",
        "the check uses port 1 (counted from 0), but the service has 1",
    ),
    "a check of a service without ports": (
        ServiceSpec(health=Health(check=TcpCheck())),
        "healthCheck",
        "the check uses port 0 (counted from 0), but the service has 0",
    ),
}


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD.keys())
def test_what_can_be_meant_is_taken_as_it_is(spec: ServiceSpec) -> None:
    assert checked(spec, ServiceType.APPLICATION) is spec


@pytest.mark.parametrize(("spec", "field", "why"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_meant_is_refused_with_the_field_and_the_limit(spec: ServiceSpec, field: str, why: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        checked(spec, ServiceType.APPLICATION)
    assert caught.value == InvalidSpec(field=field, why=why)


@pytest.mark.parametrize("name", ["", "A=B", "=", "1ST", "A B", "A\n", "A\0", "Ä", "\udc80", "$(id)", "x" * 256])
def test_a_variable_has_a_name_that_every_target_can_set(name: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        checked(ServiceSpec(env=variables("FINE", name)), ServiceType.JOB)
    assert caught.value == InvalidSpec(
        field="env", why=f"{name[:255]!r} is not a valid variable name, or is given twice"
    )


def test_a_variable_is_given_once() -> None:
    checked(ServiceSpec(env=variables("PATH", "Path")), ServiceType.JOB)
    with pytest.raises(InvalidSpec) as caught:
        checked(ServiceSpec(env=variables("PATH", "HOME", "PATH")), ServiceType.JOB)
    assert caught.value == InvalidSpec(field="env", why="'PATH' is not a valid variable name, or is given twice")


@pytest.mark.parametrize("type", [each for each in ServiceType if each is not ServiceType.JOB])
def test_only_a_job_runs_once(type: ServiceType) -> None:
    checked(ServiceSpec(once=True), ServiceType.JOB)
    with pytest.raises(InvalidSpec) as caught:
        checked(ServiceSpec(once=True), type)
    assert caught.value == InvalidSpec(field="once", why=f"only a JOB runs once, and the service is of type {type}")


@pytest.mark.parametrize(
    ("spec", "field", "why"),
    [
        (
            ServiceSpec(health=Health(check=CommandCheck(command="true"))),
            "healthCheck",
            "a JOB runs to its end, so nothing checks its health; its exit code counts",
        ),
        (ServiceSpec(stop_first=True), "stopFirst", "a JOB runs to its end, so there is no old instance to stop"),
        (ServiceSpec(restart=Restart.NO), "restart", "a JOB runs to its end, so nothing restarts it; see retries"),
        (ServiceSpec(restart_limit=1), "restartLimit", "a JOB runs to its end, so nothing restarts it; see retries"),
    ],
)
def test_a_job_has_no_field_of_a_service_that_stays_up(spec: ServiceSpec, field: str, why: str) -> None:
    for type in ServiceType:
        if type is not ServiceType.JOB:
            assert checked(spec, type) is spec
    with pytest.raises(InvalidSpec) as caught:
        checked(spec, ServiceType.JOB)
    assert caught.value == InvalidSpec(field=field, why=why)


@pytest.mark.parametrize("seconds", [0, -1, 0.009, 86_400.1, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("build_timeout", "buildTimeoutSeconds"),
        ("deploy_timeout", "deployTimeoutSeconds"),
        ("stop_grace", "stopGraceSeconds"),
        ("health.interval", "healthCheck.intervalSeconds"),
        ("health.timeout", "healthCheck.timeoutSeconds"),
        ("health.start_period", "healthCheck.startPeriodSeconds"),
        ("health.watch", "healthCheck.watchIntervalSeconds"),
        ("restart_window", "restartWindowSeconds"),
    ],
)
def test_every_time_has_its_limits(field: str, name: str, seconds: float) -> None:
    spec = ServiceSpec(health=Health(check=CommandCheck(command="true")))
    match field.split("."):
        case ["health", time]:
            assert spec.health is not None
            spec = replace(spec, health=replace(spec.health, **{time: seconds}))
        case _:
            spec = replace(spec, **{field: seconds})
    with pytest.raises(InvalidSpec) as caught:
        checked(spec, ServiceType.APPLICATION)
    assert caught.value == InvalidSpec(field=name, why=f"{seconds:g} is not between 0.01 and 86,400 seconds")


@pytest.mark.parametrize(
    ("spec", "is_built"),
    [
        (ServiceSpec(), False),
        (ServiceSpec(image="postgres"), False),
        (ServiceSpec(run="./api"), False),
        (ServiceSpec(directory="api", run="./api"), False),
        (ServiceSpec(build=("make",), run="./api"), True),
        (ServiceSpec(context="."), True),
    ],
)
def test_there_is_something_to_build_when_there_are_commands_or_a_context(spec: ServiceSpec, is_built: bool) -> None:
    assert spec.is_built is is_built
