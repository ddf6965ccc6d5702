"""A document says all of a pipeline that it is to say, whatever that is."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from domain.pipeline import apply
from domain.pipeline.apply import ApplyPipeline
from domain.pipeline.ref import ServiceId
from domain.pipeline.service import Service
from domain.pipeline.state import Pipeline
from domain.spec import (
    DEFAULT,
    Backoff,
    CommandCheck,
    Health,
    HttpCheck,
    Restart,
    ServiceSpec,
    ServiceType,
    StopSignal,
    TcpCheck,
    Variable,
)
from gql.document import format as formats
from gql.document import pipeline as documents
from gql.document.format import DocumentFormat
from store import ids
from tests.domain.histories import folded, histories
from tests.examples import examples

letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
texts = st.text(letters, min_size=1, max_size=30).filter(str.strip)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,5}", fullmatch=True)
numbers = st.floats(0.01, 86400)
checks = st.builds(HttpCheck, path=st.just("/health")) | st.builds(TcpCheck) | st.builds(CommandCheck, command=texts)
specs = st.builds(
    ServiceSpec,
    run=texts,
    build=st.lists(texts, max_size=3).map(tuple),
    env=st.lists(
        st.builds(Variable, name=names, value=texts | st.just("")),
        max_size=3,
        unique_by=lambda variable: variable.name,
    ).map(tuple),
    ports=st.lists(st.integers(1, 65535), min_size=1, max_size=3, unique=True).map(tuple),
    health=st.none()
    | st.builds(
        Health,
        check=checks,
        also=st.lists(checks, max_size=2).map(tuple),
        interval=numbers,
        timeout=numbers,
        start_period=numbers,
    ),
    build_timeout=numbers,
    stop_grace=numbers,
    stop_signal=st.sampled_from(StopSignal),
    stop_first=st.booleans(),
    restart=st.sampled_from(Restart),
    restart_backoff=st.builds(Backoff, initial=numbers),
    restart_limit=st.integers(1, 1000),
    restart_window=numbers,
    retries=st.integers(0, 10),
    backoff=st.builds(Backoff, initial=numbers, max=numbers, jitter=st.floats(0, 1)),
    allow_failure=st.booleans(),
    once=st.booleans(),
)
services = st.tuples(st.sampled_from(ServiceType), specs).map(lambda given: (given[0], _meant(*given)))


def _meant(kind: ServiceType, spec: ServiceSpec) -> ServiceSpec:
    """Return *spec* without the fields that a service of that *kind* can't have."""
    if kind is not ServiceType.JOB:
        return replace(spec, once=False)
    restart = {name: getattr(DEFAULT, name) for name in spec.__struct_fields__ if name.startswith("restart")}
    return replace(spec, health=None, stop_first=False, **restart)


@given(histories(most=15).map(folded), st.lists(services, max_size=3), st.sampled_from(DocumentFormat), st.booleans())
@settings(max_examples=examples(60), deadline=None)
def test_applying_what_was_exported_changes_nothing(
    pipeline: Pipeline, own: list[tuple[ServiceType, ServiceSpec]], format_: DocumentFormat, has_ids: bool
) -> None:
    first, *others = pipeline.stages
    services = [
        Service(id=ServiceId(ids.new()), name=f"extra {number}", type=kind, spec=spec)
        for number, (kind, spec) in enumerate(own)
    ]
    pipeline = replace(pipeline, stages=(replace(first, services=(*first.services, *services)), *others))
    text = formats.write(documents.from_domain(pipeline, has_ids=has_ids), format_)
    assert documents.revise(documents.read(text), pipeline) == pipeline
    assert apply.decide(pipeline, ApplyPipeline(wanted=documents.revise(documents.read(text), pipeline))) == []


@given(histories(most=15).map(folded), histories(most=15).map(folded))
@settings(max_examples=examples(30), deadline=None)
def test_a_document_makes_of_any_pipeline_what_it_says(one: Pipeline, other: Pipeline) -> None:
    document = documents.from_domain(other)
    becomes = apply.decider.replay(apply.decide(one, ApplyPipeline(wanted=documents.revise(document, one))), one)
    assert _without_homes(documents.from_domain(becomes)) == _without_homes(document)


def _without_homes(document: documents.PipelineDocument) -> documents.PipelineDocument:
    """Return *document* without homes and policy: applying it does not change those that it leaves out."""
    stages = tuple(replace(stage, default_for_type=None) for stage in document.stages)
    return replace(document, stages=stages, policy=UNSET)
