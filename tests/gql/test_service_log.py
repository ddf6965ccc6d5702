"""The output of what runs of a service: the last lines, and the next ones."""

from tests.gql.environment import Environment

LINES = """
query ($environment: ID!, $tail: Int!) {
  serviceLogs(environment: $environment, service: "web", tail: $tail) { lines }
}
"""
FOLLOW = """
subscription ($environment: ID!, $tail: Int!, $after: String) {
  serviceLogs(environment: $environment, service: "web", tail: $tail, after: $after) { cursor lines hasGap }
}
"""


def test_the_output_of_a_service_is_read_and_followed_until_it_is_removed(environment: Environment) -> None:
    go = environment.stageline.folder / f"log-{environment.number}"
    run = f'echo one; echo two; until [ -e "{go}" ]; do sleep 0.01; done; echo three; exec sleep 60'
    environment.add("web", "APPLICATION", runCommand=run)
    execute = environment.stageline.execute
    assert execute(LINES, environment=environment.id, tail=9)["serviceLogs"]["lines"] == []
    environment.end(environment.do("deploy"))
    assert execute(LINES, environment=environment.id, tail=9)["serviceLogs"]["lines"] == ["one", "two"]
    assert execute(LINES, environment=environment.id, tail=1)["serviceLogs"]["lines"] == ["two"]
    with environment.stageline.socket() as socket:
        socket.subscribe("1", FOLLOW, environment=environment.id, tail=1)
        values = (message["payload"]["data"]["serviceLogs"] for message in iter(socket.receive, None))
        first = next(values)
        assert first["lines"] == ["two"]
        go.touch()
        assert next(values)["lines"] == ["three"]
        socket.subscribe("2", FOLLOW, environment=environment.id, tail=1, after=first["cursor"])
        assert next(values)["lines"] == ["three"]
        environment.do("removeService", service="web")
        ends = [socket.receive() for _ in range(2)]
    assert sorted((each["type"], each["id"]) for each in ends) == [("complete", "1"), ("complete", "2")]


def test_a_job_and_too_many_lines_are_refused(environment: Environment) -> None:
    environment.add("web", "JOB")
    answer = environment.stageline.ask(LINES, environment=environment.id, tail=9)
    assert (
        "web is a JOB, which runs within a deployment: read `stageline deployment logs`"
        in answer["errors"][0]["message"]
    )
    environment.add("api", "APPLICATION")
    answer = environment.stageline.ask(LINES.replace("web", "api"), environment=environment.id, tail=1001)
    assert "1001 is not between 0 and 1,000" in answer["errors"][0]["message"]
    answer = environment.stageline.ask(LINES.replace("web", "nothing"), environment=environment.id, tail=1)
    assert answer["errors"][0]["extensions"]["code"] == "SERVICE_NOT_FOUND"


def test_what_is_no_cursor_of_an_output_is_refused(environment: Environment) -> None:
    environment.add("web", "APPLICATION")
    with environment.stageline.socket() as socket:
        for number, cursor in enumerate(["nonsense", "../../x.deploy.1@0", "WyJhZjNjMDhjY2RmN2NlM2RhIiw1NF0"]):
            socket.subscribe(str(number), FOLLOW, environment=environment.id, tail=1, after=cursor)
            [error] = socket.receive()["payload"]["errors"]
            assert error["extensions"]["code"] == "INVALID_ARGUMENT"
            assert "Invalid cursor: it is damaged" in error["message"]
            assert socket.receive() == {"type": "complete", "id": str(number)}
