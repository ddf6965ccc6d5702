"""Whatever is asked of a pipeline, in whatever order, it stays a pipeline."""

from uuid import UUID

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import name as names
from domain import pipeline
from domain.errors import Refused
from domain.pipeline import need as needs
from domain.pipeline.environment import CreateEnvironment, DeleteEnvironment, EditEnvironment, Target
from domain.pipeline.ref import ServiceId, ServiceRef, StageId, StageRef
from domain.pipeline.service import (
    AddService,
    AfterService,
    AtPosition,
    BeforeService,
    EditService,
    MoveService,
    RemoveService,
    ServiceAdded,
    ServiceMoved,
    ServicePlace,
    ServiceRemoved,
    SkipService,
    UnskipService,
)
from domain.pipeline.stage import (
    After,
    At,
    Before,
    CreateStage,
    DeleteStage,
    EditStage,
    MoveStage,
    Place,
    StageMoved,
    StagePolicy,
)
from domain.pipeline.state import Pipeline, PipelineCommand, PipelineEvent
from domain.spec import ServiceSpec, ServiceType, Variable
from tests.domain.example import NOBODY, NOWHERE, PROJECT
from tests.domain.given import stored
from tests.examples import examples

# So few that they meet: as taken and as free, as new and as known, and the same in another case or width.
STAGES = [StageId(UUID(int=number)) for number in range(1, 10)]
SERVICES = [ServiceId(UUID(int=number)) for number in range(11, 20)]
WORDS = ["api", "web", "Straße", "Ärger", "x1", "ship it", "job default", "ﬁle"]
NO_NAMES = ["", "x" * 101, "a\0b", "\ud800"]


def wide(text: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in text)


def typed(text: str) -> list[str]:
    """The ways to type the name *text*."""
    return [text, text.upper(), text.casefold(), wide(text), f" {text.swapcase()}\n"]


new_names = st.sampled_from([*(way for word in WORDS for way in typed(word)), *NO_NAMES])
stages, services, types = st.sampled_from(STAGES), st.sampled_from(SERVICES), st.sampled_from(ServiceType)
specs = st.sampled_from(
    [
        ServiceSpec(),
        ServiceSpec(run="./api"),
        ServiceSpec(run="./api ${{ services['API'].port }}", ports=(0,)),
        ServiceSpec(run="./api", env=(Variable(name="WEB", value="${{ services['web'].host }}"),)),
        ServiceSpec(retries=11),
    ]
)
concurrencies = st.sampled_from([None, 1, 2, 8, 100, 101])


class Pipelines(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[PipelineEvent] = []
        self.pipeline = Pipeline()

    def send(self, command: PipelineCommand) -> None:
        before = msgspec.json.encode(self.pipeline)
        try:
            events = pipeline.decide(self.pipeline, command)
        except Refused as refusal:
            str(refusal).encode()
            events = []
        assert msgspec.json.encode(self.pipeline) == before
        for event in events:
            self.record(event)
        self.send_again(command)

    def send_again(self, command: PipelineCommand) -> None:
        """A command that was carried out changes nothing the second time, or is refused."""
        try:
            events = pipeline.decide(self.pipeline, command)
        except Refused:
            return
        assert events == []

    def record(self, event: PipelineEvent) -> None:
        before, self.pipeline = self.pipeline, pipeline.evolve(self.pipeline, event)
        self.log.append(stored(event))
        match event:
            case StageMoved(stage=stage, source=position, target=target):
                assert before.position(stage) == position
                assert self.pipeline.position(stage) == target
            case ServiceMoved(service=service, source=left, target=entered, position=position):
                assert left is None or before.stage_of(service).id == left
                assert self.pipeline.stage_of(service).id == entered
                place = len(self.pipeline.stage(entered).services) if position is None else position
                assert self.pipeline.stage(entered).services[place - 1].id == service
            case _:
                pass

    def stage_refs(self) -> st.SearchStrategy[StageRef]:
        known = [ref for stage in self.pipeline.stages for ref in (stage.id, *typed(stage.name))]
        return st.sampled_from([*known, NOWHERE, "nowhere"])

    def service_refs(self) -> st.SearchStrategy[ServiceRef]:
        known = [ref for service in self.pipeline.services for ref in (service.id, *typed(service.name))]
        return st.sampled_from([*known, NOBODY, "nobody"])

    def places(self) -> st.SearchStrategy[Place]:
        refs = self.stage_refs()
        positions = st.integers(0, len(self.pipeline.stages) + 2)
        return st.builds(At, position=positions) | st.builds(Before, stage=refs) | st.builds(After, stage=refs)

    def service_places(self) -> st.SearchStrategy[ServicePlace]:
        refs, positions = self.service_refs(), st.integers(0, 4)
        beside = st.builds(BeforeService, service=refs) | st.builds(AfterService, service=refs)
        return st.builds(AtPosition, position=positions) | beside

    @initialize()
    def create(self) -> None:
        default = (STAGES[0], STAGES[1], STAGES[2], STAGES[3])
        self.send(CreateEnvironment(project=PROJECT, name="Production", stages=default))
        for service, type_ in zip(SERVICES, ServiceType, strict=False):
            self.send(AddService(service=service, name=f"first {type_}", type=type_))

    @rule(
        command=st.builds(
            EditEnvironment,
            name=st.none() | new_names,
            target=st.none() | st.sampled_from(Target),
            concurrency=concurrencies,
        )
    )
    def edit_environment(self, command: EditEnvironment) -> None:
        self.send(command)

    @precondition(lambda self: len(self.log) > 60)
    @rule()
    def delete_environment(self) -> None:
        self.send(DeleteEnvironment())

    @rule(data=st.data(), stage=stages, name=new_names)
    def create_stage(self, data: st.DataObject, stage: StageId, name: str) -> None:
        self.send(CreateStage(stage=stage, name=name, place=data.draw(st.none() | self.places())))

    @rule(data=st.data(), name=st.none() | new_names, text=st.none() | new_names, concurrency=concurrencies)
    def edit_stage(self, data: st.DataObject, name: str | None, text: str | None, concurrency: int | None) -> None:
        stage, policy = data.draw(self.stage_refs()), StagePolicy(concurrency=concurrency)
        self.send(EditStage(stage=stage, name=name, description=text, policy=policy))

    @rule(data=st.data())
    def move_stage(self, data: st.DataObject) -> None:
        self.send(MoveStage(stage=data.draw(self.stage_refs()), place=data.draw(self.places())))

    @precondition(lambda self: len(self.pipeline.stages) > 1 or len(self.log) % 5 == 0)
    @rule(data=st.data())
    def delete_stage(self, data: st.DataObject) -> None:
        target = data.draw(st.none() | self.stage_refs())
        self.send(DeleteStage(stage=data.draw(self.stage_refs()), services_to=target))

    @rule(data=st.data(), service=services, name=new_names, type_=types, spec=specs)
    def add_service(
        self, data: st.DataObject, service: ServiceId, name: str, type_: ServiceType, spec: ServiceSpec
    ) -> None:
        stage = data.draw(st.none() | self.stage_refs())
        self.send(AddService(service=service, name=name, type=type_, spec=spec, stage=stage))

    @rule(data=st.data(), name=st.none() | new_names, spec=st.none() | specs)
    def edit_service(self, data: st.DataObject, name: str | None, spec: ServiceSpec | None) -> None:
        self.send(EditService(service=data.draw(self.service_refs()), name=name, spec=spec))

    @rule(data=st.data())
    def move_service(self, data: st.DataObject) -> None:
        place = data.draw(st.none() | self.service_places())
        self.send(MoveService(service=data.draw(self.service_refs()), stage=data.draw(self.stage_refs()), place=place))

    @rule(data=st.data(), kind=st.sampled_from([SkipService, UnskipService, SkipService, RemoveService]))
    def skip_unskip_or_remove_service(
        self, data: st.DataObject, kind: type[SkipService] | type[UnskipService] | type[RemoveService]
    ) -> None:
        self.send(kind(service=data.draw(self.service_refs())))

    @invariant()
    def each_needed_service_stands_in_an_earlier_stage(self) -> None:
        needs.check(self.pipeline.stages)

    @invariant()
    def every_service_stands_in_exactly_one_stage(self) -> None:
        there: set[ServiceId] = set()
        for event in self.log:
            if isinstance(event, ServiceAdded):
                there.add(event.service)
            elif isinstance(event, ServiceRemoved):
                there.remove(event.service)
        standing = [service.id for stage in self.pipeline.stages for service in stage.services]
        assert sorted(standing) == sorted(there)
        assert self.pipeline.incoming is None

    @invariant()
    def stages_are_counted_from_1_without_a_gap(self) -> None:
        positions = [self.pipeline.position(stage.id) for stage in self.pipeline.stages]
        assert positions == list(range(1, len(positions) + 1))

    @invariant()
    def there_is_at_least_one_stage(self) -> None:
        assert self.pipeline.stages or self.pipeline.project is None

    @invariant()
    def names_are_unique_without_regard_to_case(self) -> None:
        for things in (self.pipeline.stages, self.pipeline.services):
            assert len({names.key(thing.name) for thing in things}) == len(things)
            assert [thing.name for thing in things] == [names.checked(thing.name) for thing in things]

    @invariant()
    def everything_is_found_by_its_id_and_by_its_name(self) -> None:
        for stage in self.pipeline.stages:
            assert self.pipeline.stage(stage.id) is self.pipeline.stage(f" {stage.name.upper()}") is stage
        for service in self.pipeline.services:
            assert self.pipeline.service(service.id) is self.pipeline.service(service.name.swapcase()) is service

    @invariant()
    def the_log_tells_all(self) -> None:
        assert pipeline.decider.replay(self.log) == self.pipeline


Pipelines.TestCase.settings = settings(max_examples=examples(80), stateful_step_count=50)
test_a_pipeline_stays_a_pipeline_whatever_is_asked_of_it = Pipelines.TestCase
