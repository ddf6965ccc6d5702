"""Needs: the references of services to services of earlier stages."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from domain import pipeline
from domain.errors import InvalidReference, InvalidSpec, UnmetReference
from domain.pipeline import apply
from domain.pipeline import need as needs
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.environment import EnvironmentVariableDeleted, EnvironmentVariableSet
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import (
    AddService,
    EditService,
    MoveService,
    RemoveService,
    Service,
    ServiceConfigured,
    ServiceMoved,
    ServiceRenamed,
)
from domain.pipeline.stage import At, DeleteStage, MoveStage, Stage, StageMoved
from domain.pipeline.state import Pipeline, PipelineCommand
from domain.spec import CommandCheck, Health, HttpCheck, ServiceSpec, ServiceType, Variable, rewritten
from tests.domain.example import API, BUILD, NOBODY, ORDERS, REST, SHIP, WEB, added, build, created, rest, ship
from tests.domain.given import Given

given = Given(pipeline.decider)

DATABASE = ServiceSpec(run="./db", ports=(0, 5433))


def reading(text: str, name: str = "URL") -> ServiceSpec:
    return ServiceSpec(run="./api", env=(Variable(name=name, value=text),))


URL = reading("${{ services['DB'].url }}")
db_in_build = added(WEB, "DB", BUILD, DATABASE, ServiceType.DATABASE)
job_in_build = added(ORDERS, "migrate", BUILD, ServiceSpec(run="./m"), ServiceType.JOB)
api_in_ship = added(API, "API", SHIP, URL)
history = (created, build, ship, rest, *db_in_build, *job_in_build)
whole = (*history, *api_in_ship)


def unmet(why: str, remedy: str, reference: str = "services['DB'].url", field: str = "env URL") -> UnmetReference:
    return UnmetReference(service="API", reference=reference, field=field, why=why, remedy=remedy)


def add(text: str, stage: str = "Ship") -> AddService:
    return AddService(service=API, name="API", type=ServiceType.APPLICATION, spec=reading(text), stage=stage)


def test_a_service_refers_to_one_of_an_earlier_stage_by_a_name_in_any_case() -> None:
    state = (
        given(*history)
        .when(add("${{ services['db'].url }}"))
        .then(*added(API, "API", SHIP, reading("${{ services['db'].url }}")))
    )
    assert [(one.name, other.name) for one, other in needs.pairs(state)] == [("API", "DB")]


@pytest.mark.parametrize(
    ("text", "why", "remedy"),
    [
        (
            "services['Db2'].host",
            "there is no service 'Db2'",
            "add it to an earlier stage, or correct or remove the reference",
        ),
        (
            "services['API'].host",
            "it is the service itself",
            "its own ports are in the variables PORT, PORT_0, PORT_1 …",
        ),
        ("services['DB'].ports[2]", "'DB' has 2 ports", "add the port to its specification"),
        (
            "services['DB'].outputs.A",
            "'DB' is a service of type DATABASE, and only a JOB has outputs",
            "refer to its host, port or url",
        ),
        ("services['migrate'].host", "'migrate' is a JOB, which does not stay up", "refer to its outputs.KEY"),
        ("services['migrate'].port", "'migrate' is a JOB, which does not stay up", "refer to its outputs.KEY"),
    ],
)
def test_a_reference_to_what_is_not_there_is_refused_with_the_remedy(text: str, why: str, remedy: str) -> None:
    given(*history).when(add(f"${{{{ {text} }}}}")).refused(unmet(why, remedy, text))


def test_a_service_without_ports_has_no_port_and_no_url() -> None:
    bare = (created, build, ship, *added(WEB, "DB", BUILD, ServiceSpec(run="./db")))
    for text in ("services['DB'].port", "services['DB'].url"):
        refusal = unmet("'DB' has no ports", "add the port to its specification", text)
        given(*bare).when(add(f"${{{{ {text} }}}}")).refused(refusal)
    given(*bare).when(add("${{ services['DB'].host }}")).then(
        *added(API, "API", SHIP, reading("${{ services['DB'].host }}"))
    )


@pytest.mark.parametrize(
    ("command", "why", "remedy"),
    [
        (
            add("${{ services['DB'].url }}", "Build"),
            "'DB' stands in the same stage 'Build'",
            "move 'API' to stage 'Ship'",
        ),
        (
            MoveService(service=API, stage="Build"),
            "'DB' stands in the same stage 'Build'",
            "move 'API' to stage 'Ship'",
        ),
        (
            MoveService(service=WEB, stage="Rest"),
            "'DB' stands in the later stage 'Rest'",
            "move 'DB' to stage 'Build'",
        ),
        (
            MoveStage(stage="Ship", place=At(position=1)),
            "'DB' stands in the later stage 'Build'",
            "move 'API' to stage 'Rest'",
        ),
        (
            DeleteStage(stage="Build", services_to="Ship"),
            "'DB' stands in the same stage 'Ship'",
            "move 'API' to stage 'Rest'",
        ),
        (
            RemoveService(service="DB"),
            "there is no service 'DB'",
            "add it to an earlier stage, or correct or remove the reference",
        ),
    ],
)
def test_the_order_is_kept_and_the_refusal_names_the_move(command: PipelineCommand, why: str, remedy: str) -> None:
    before = history if isinstance(command, AddService) else whole
    given(*before).when(command).refused(unmet(why, remedy))


def test_both_moves_are_named_where_both_are_possible() -> None:
    given(*whole, ServiceMoved(service=API, source=SHIP, target=REST)).when(
        MoveService(service=WEB, stage="Rest")
    ).refused(unmet("'DB' stands in the same stage 'Rest'", "move 'DB' to stage 'Ship'"))
    state = given(created, build, ship, rest, *added(WEB, "DB", SHIP, DATABASE), *added(API, "API", REST, URL)).state
    with pytest.raises(UnmetReference) as refused:
        pipeline.decide(state, MoveService(service=API, stage=SHIP))
    assert "move 'DB' to stage 'Build', or move 'API' to stage 'Rest'." in str(refused.value)


def test_a_new_stage_is_the_remedy_where_there_is_only_one() -> None:
    state = given(created, build, *added(WEB, "DB", BUILD, DATABASE)).state
    with pytest.raises(UnmetReference) as refused:
        pipeline.decide(state, add("${{ services['DB'].host }}", "Build"))
    assert str(refused.value).endswith("create a stage before 'Build', and move 'DB' to it.")


def test_a_port_that_another_service_needs_is_not_taken_away() -> None:
    given(*whole).when(EditService(service="DB", spec=replace(DATABASE, ports=()))).refused(
        unmet("'DB' has no ports", "add the port to its specification")
    )


def test_moves_that_keep_the_order_are_free() -> None:
    given(*whole).when(MoveService(service=API, stage="Rest")).then(ServiceMoved(service=API, source=SHIP, target=REST))
    given(*whole).when(MoveStage(stage="Rest", place=At(position=1))).then(StageMoved(stage=REST, source=3, target=1))


def test_a_reference_follows_a_renamed_service() -> None:
    given(*whole).when(EditService(service="DB", name="it's Postgres")).then(
        ServiceRenamed(service=WEB, name="it's Postgres"),
        ServiceConfigured(service=API, spec=reading("${{ services['it''s Postgres'].url }}")),
    )


def test_a_name_that_is_too_long_for_the_references_to_follow_is_refused() -> None:
    text = "${{ services['DB'].url }}" + "x" * 9_970
    given(*history, *added(API, "API", SHIP, reading(text))).when(EditService(service="DB", name="D" * 100)).refused(
        InvalidSpec(field="env", why="at most 10,000 characters, without NUL and lone surrogates, are allowed")
    )


def test_a_document_is_refused_as_the_edit_that_leads_there() -> None:
    now, wanted = given(*history).state, given(*whole, ServiceMoved(service=WEB, source=BUILD, target=SHIP)).state
    with pytest.raises(UnmetReference) as refused:
        apply.decide(now, ApplyPipeline(wanted=wanted))
    assert refused.value == unmet(
        "'DB' stands in the same stage 'Ship'", "move 'DB' to stage 'Build', or move 'API' to stage 'Rest'"
    )


def test_references_are_read_in_env_commands_and_health_and_nowhere_else() -> None:
    text = "${{ variables.A }}"
    spec = ServiceSpec(
        directory=text,
        run=text,
        build=("make", text),
        env=(Variable(name="X", value=text),),
        ports=(0,),
        health=Health(check=HttpCheck(path=f"/{text}")),
    )
    assert [field for field, _ in needs.references_in(spec)] == [
        "env X",
        "runCommand",
        "buildCommands 2",
        "healthCheck",
    ]
    check = Health(check=CommandCheck(command=text))
    assert [field for field, _ in needs.references_in(replace(spec, health=check))][-1] == "healthCheck"
    new = rewritten(spec, lambda old: old.replace(text, "b"))
    assert (new.run, new.build, new.env[0].value) == ("b", ("make", "b"), "b")
    assert new.health == Health(check=HttpCheck(path="/b"))
    assert new.directory == text


def test_a_text_that_is_no_reference_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidReference) as refused:
        pipeline.decide(given(*history).state, add("a ${{ secrets }}"))
    assert str(refused.value).startswith("Invalid reference in env URL, character 14: expected a dot")


def test_a_text_of_an_old_log_that_is_no_reference_is_passed_over_by_other_edits() -> None:
    old = added(NOBODY, "old", REST, reading("${{ whatever"))
    given(*whole, *old).when(MoveService(service=API, stage="Rest")).then(
        ServiceMoved(service=API, source=SHIP, target=REST)
    )
    given(*whole, *old).when(EditService(service="old", name="older")).then(
        ServiceRenamed(service=NOBODY, name="older")
    )


def test_variables_that_the_environment_lacks_are_asked_of_the_project() -> None:
    spec = ServiceSpec(run="${{ variables.A }} ${{ variables.B }}")
    state = given(*history, EnvironmentVariableSet(name="A", value="1")).state
    events = pipeline.decide(state, AddService(service=API, name="API", type=ServiceType.JOB, spec=spec, stage=SHIP))
    after = pipeline.decider.replay(events, state)
    wanted = needs.variables_of(after, events)
    assert [(service.name, field, reference.name) for service, field, reference in wanted] == [
        ("API", "runCommand", "B")
    ]
    needs.check_variables(wanted, ["B"])
    with pytest.raises(UnmetReference) as refused:
        needs.check_variables(wanted, ["C"])
    assert str(refused.value) == (
        "Service 'API' refers to variables.B in runCommand, but neither the environment nor its project has a variable"
        " 'B': set it first, or correct or remove the reference."
    )
    gone = EnvironmentVariableDeleted(name="A")
    assert [each[2].name for each in needs.variables_of(pipeline.evolve(after, gone), [gone])] == ["A"]
    moved = [ServiceMoved(service=WEB, source=BUILD, target=BUILD)]
    assert needs.variables_of(after, moved) == []


def test_a_shared_variable_that_services_need_is_kept_and_the_refusal_names_the_first_ones() -> None:
    services = [
        Service(
            id=ServiceId(UUID(int=number)),
            name=f"job {number}",
            type=ServiceType.JOB,
            spec=reading("${{ variables.A }}${{ variables.A }}"),
        )
        for number in range(13)
    ]
    pipeline = Pipeline(
        name="qa",
        stages=(Stage(id=BUILD, name="Build", description="", services=tuple(services)),),
        variables=(Variable(name="B", value=""),),
    )
    with pytest.raises(UnmetReference) as refused:
        needs.check_unneeded([pipeline], ["A"])
    message = str(refused.value)
    assert message.startswith(
        "Service 'job 0' refers to variables.A in env URL, but neither its environment 'qa' nor the"
    )
    assert message.endswith("'job 9' of 'qa', 'job 10' of 'qa' and 2 more.")
    needs.check_unneeded([pipeline], ["B"])
    needs.check_unneeded([replace(pipeline, variables=(Variable(name="A", value=""),))], ["A"])


def test_a_move_that_would_break_another_need_is_not_named() -> None:
    between = reading("${{ services['DB'].host }}")
    before = (*history, *added(API, "API", SHIP, between), *added(NOBODY, "web", SHIP, ServiceSpec()))
    asking = EditService(service="web", spec=reading("${{ services['API'].host }}"))
    refusal = UnmetReference(
        service="web",
        reference="services['API'].host",
        field="env URL",
        why="'API' stands in the same stage 'Ship'",
        remedy="move 'web' to stage 'Rest'",
    )
    given(*before).when(asking).refused(refusal)
    last = (
        created,
        build,
        ship,
        *db_in_build,
        *added(API, "API", SHIP, between),
        *added(NOBODY, "web", SHIP, ServiceSpec()),
    )
    remedy = "create a stage before 'Ship', and move 'API' to it"
    refused = UnmetReference(**refusal.details | {"remedy": remedy})
    given(*last).when(asking).refused(refused)


def test_two_services_that_need_each_other_are_refused_with_a_way_out() -> None:
    other = reading("${{ services['API'].host }}")
    given(*whole).when(EditService(service="DB", spec=replace(DATABASE, env=other.env))).refused(
        UnmetReference(
            service="DB",
            reference="services['API'].host",
            field="env URL",
            why="'API' stands in the later stage 'Ship'",
            remedy="remove one of the references: they need each other",
        )
    )
