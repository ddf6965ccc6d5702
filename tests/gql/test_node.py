from tests.gql.environment import Environment, services


def test_a_thing_is_fetched_again_by_its_id(environment: Environment) -> None:
    node, query = environment.stageline.query, environment.stageline.query
    environment.add("api")
    deployment = environment.end(environment.do("deploy"))
    for kind, id_ in [
        ("project", environment.project),
        ("environment", environment.id),
        ("deployment", deployment["id"]),
    ]:
        assert node("node", id=id_) == query(kind, id=id_) | {"__typename": kind.capitalize()}
    pipeline = environment.pipeline
    assert node("node", id=pipeline["id"]) == pipeline | {"__typename": "Pipeline"}


def test_the_id_of_nothing_or_of_something_else_is_null(environment: Environment) -> None:
    environment.add("api")
    pipeline = environment.pipeline
    uuid = environment.id.partition("_")[2]
    for nothing in (
        *(f"{kind}_{'0' * 32}" for kind in ("project", "environment", "pipeline", "deployment")),
        *(f"{kind}_{uuid}" for kind in ("project", "deployment", "event", "thing")),
        f"environment_{environment.project.partition('_')[2]}",
        pipeline["stages"][0]["id"],
        services(pipeline)[0]["id"],
        environment.id.upper(),
        uuid,
        "",
    ):
        assert environment.stageline.query("node", id=nothing) is None
