"""Variables of environments and projects, and how their levels merge."""

import pytest
from msgspec.structs import replace

from domain import pipeline, project
from domain.errors import InvalidVariable, LimitReached, Refused, VariableNotFound
from domain.pipeline import apply
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.aspect import collide
from domain.pipeline.environment import (
    DeleteEnvironmentVariables,
    EnvironmentVariableDeleted,
    EnvironmentVariableSet,
    SetEnvironmentVariables,
)
from domain.pipeline.undo import without
from domain.project import (
    DeleteProjectVariables,
    ProjectCreated,
    ProjectVariableDeleted,
    ProjectVariableSet,
    SetProjectVariables,
)
from domain.spec import Variable
from domain.variable import merged
from tests.domain.example import build, created
from tests.domain.given import Given

given = Given(pipeline.decider)
given_project = Given(project.decider)

EU, US, BLUE = (
    Variable(name="REGION", value="eu"),
    Variable(name="REGION", value="us"),
    Variable(name="C", value="blue"),
)
eu, us = EnvironmentVariableSet(name="REGION", value="eu"), EnvironmentVariableSet(name="REGION", value="us")
blue = EnvironmentVariableSet(name="C", value="blue")
shop = ProjectCreated(name="Shop")


def many(count: int, length: int = 1) -> tuple[Variable, ...]:
    return tuple(Variable(name=f"V{number}", value="x" * length) for number in range(count))


def test_variables_are_set_and_the_others_stay() -> None:
    state = given(created, build, eu).when(SetEnvironmentVariables(variables=(BLUE,))).then(blue)
    assert state.variables == (BLUE, EU)
    given(created, build, eu).when(SetEnvironmentVariables(variables=(US, BLUE))).then(us, blue)


def test_a_variable_that_has_its_value_already_changes_nothing() -> None:
    given(created, build, eu, blue).when(SetEnvironmentVariables(variables=(EU, BLUE))).then()


@pytest.mark.parametrize("name", ["PORT", "PORT_0", "PORT_12", "STAGELINE_STEP", "STAGELINE_OUTPUT"])
def test_a_variable_of_all_services_does_not_replace_what_stageline_gives_to_each(name: str) -> None:
    mine = Variable(name=name, value="1")
    why = "Stageline gives each service its own PORT, PORT_0 … and STAGELINE_…; choose another name"
    refusal = InvalidVariable(variable=name, why=why)
    given(created, build).when(SetEnvironmentVariables(variables=(BLUE, mine))).refused(refusal)
    given_project(shop).when(SetProjectVariables(variables=(mine,))).refused(refusal)


@pytest.mark.parametrize("name", ["PORTS", "PORT_", "DB_PORT", "port", "STAGELINE"])
def test_other_names_are_free(name: str) -> None:
    given(created, build).when(SetEnvironmentVariables(variables=(Variable(name=name, value="1"),))).then(
        EnvironmentVariableSet(name=name, value="1")
    )


def test_a_variable_is_deleted() -> None:
    gone = EnvironmentVariableDeleted(name="REGION")
    state = given(created, build, eu, blue).when(DeleteEnvironmentVariables(names=("REGION", "REGION"))).then(gone)
    assert state.variables == (BLUE,)


def test_an_unknown_variable_is_not_deleted_nor_the_others_of_the_request() -> None:
    unknown = DeleteEnvironmentVariables(names=("REGION", "region"))
    given(created, build, eu).when(unknown).refused(VariableNotFound(owner="environment", variable="region"))
    given_project(shop).when(DeleteProjectVariables(names=("A",))).refused(
        VariableNotFound(owner="project", variable="A")
    )


def test_the_variables_of_a_project_are_set_and_deleted() -> None:
    was = ProjectVariableSet(name="REGION", value="eu")
    state = given_project(shop).when(SetProjectVariables(variables=(EU,))).then(was)
    assert state.variables == (EU,)
    given_project(shop, was).when(SetProjectVariables(variables=(EU,))).then()
    gone = ProjectVariableDeleted(name="REGION")
    after = given_project(shop, was).when(DeleteProjectVariables(names=("REGION",))).then(gone)
    assert after.variables == ()
    assert after.name == "Shop"


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "Ä", "x" * 256])
def test_a_name_that_no_process_accepts_is_refused(name: str) -> None:
    why = "a name has 1 to 255 letters, digits, _, . and -, and does not begin with a digit"
    wanted = (Variable(name=name, value=""),)
    given(created, build).when(SetEnvironmentVariables(variables=wanted)).refused(
        InvalidVariable(variable=name[:255], why=why)
    )


@pytest.mark.parametrize("value", ["x" * 10_001, "a\0b", "\ud800"])
def test_a_value_that_no_process_accepts_is_refused(value: str) -> None:
    why = "at most 10,000 characters, without NUL and lone surrogates, are allowed in a value"
    wanted = (Variable(name="A", value=value),)
    given_project(shop).when(SetProjectVariables(variables=wanted)).refused(InvalidVariable(variable="A", why=why))


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ((EU, US), InvalidVariable(variable="REGION", why="it is given twice")),
        (many(201), LimitReached(limit=200, what="variables of a project or an environment")),
        (
            many(11, length=10_000),
            LimitReached(limit=100_000, what="characters in all values of a project or an environment together"),
        ),
    ],
)
def test_so_many_variables_are_allowed_and_no_more(wanted: tuple[Variable, ...], refusal: Refused) -> None:
    given(created, build).when(SetEnvironmentVariables(variables=wanted)).refused(refusal)
    allowed = wanted[:200] if len(wanted) > 200 else wanted[:-1]
    assert pipeline.decide(given(created, build).state, SetEnvironmentVariables(variables=allowed))


def test_a_later_level_replaces_the_variables_of_an_earlier_one() -> None:
    assert merged((EU, BLUE), (US,)) == (BLUE, US)
    assert merged((US,), (EU, BLUE)) == (BLUE, EU)


def test_a_restored_pipeline_has_its_variables_back() -> None:
    before = given(created, build, eu).state
    now = given(created, build, eu, us, blue).state
    assert apply.decide(now, ApplyPipeline(wanted=before)) == [eu, EnvironmentVariableDeleted(name="C")]
    copied = replace(before, name="Clone")
    assert eu in apply.decide(pipeline.Pipeline(), ApplyPipeline(wanted=copied))


def test_a_change_of_a_variable_is_undone_and_keeps_those_of_others() -> None:
    before = given(created, build, eu).state
    now = given(created, build, eu, us, blue).state
    assert without(now, before, [us]).variables == (BLUE, EU)
    gone = EnvironmentVariableDeleted(name="REGION")
    after = given(created, build, eu, gone, blue).state
    assert without(after, before, [gone]).variables == (BLUE, EU)
    assert without(after, given(created, build, eu, gone).state, [blue]).variables == ()


def test_two_changes_collide_only_if_they_are_of_the_same_variable() -> None:
    assert collide(eu, EnvironmentVariableDeleted(name="REGION"))
    assert not collide(eu, blue)


def test_no_variable_is_set_in_a_project_that_does_not_exist() -> None:
    with pytest.raises(Refused):
        project.decide(project.Project(), SetProjectVariables(variables=(EU,)))
