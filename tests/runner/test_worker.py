"""Workers over one PostgreSQL: what is deferred, handed over, fenced, and bound to a machine."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from procrastinate.jobs import Status as JobStatus

from domain.deployment.queue import DeploymentId
from domain.deployment.step import Phase, Status
from domain.pipeline.environment import Target
from domain.pipeline.ref import ServiceId
from domain.project import EnvironmentId
from domain.spec import ServiceSpec
from runner import jobs, worker
from runner.connector import Connector, Manager
from runner.jobs import Jobs
from runner.machine import machine
from runner.roster import SharedRoster
from runner.targets.contract import StepOutput, StepRequest
from runner.worker import WorkerEngine
from store import archive, ids
from store.log import LogUnavailable
from store.postgres import connection as postgres_connection
from store.postgres.archive import archiving
from store.postgres.connection import Connection
from store.postgres.log import PostgresLog
from store.postgres.output import PostgresOutput
from store.postgres.schema import migrate
from tests.postgres import created, pages
from tests.proxy import far
from tests.runner.world import Gate, World
from tests.store.sample import followed


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    log = await PostgresLog.open(database)
    await jobs.prepare(database)
    async with World(log, await PostgresOutput.open(database)).standing() as world:
        yield world


MOVED = """
    LOCK TABLE machines; -- no heartbeat is half done
    INSERT INTO machines VALUES ('00000000-0000-0000-0000-000000000001', 'another', now());
    UPDATE homes SET machine = '00000000-0000-0000-0000-000000000001';
    UPDATE machines SET seen_at = now() - interval '1 hour' WHERE name <> 'another';
"""
"""Gives the environments of a machine that was silent for an hour to another one."""

GONE = """
    INSERT INTO machines VALUES ('00000000-0000-0000-0000-000000000001', 'another', now());
    UPDATE machines SET seen_at = now() - interval '1 hour' WHERE name <> 'another';
"""
"""Time in which nothing is heard of the machines there are, but of another."""


QUEUE = "SELECT queue_name FROM procrastinate_jobs WHERE lock = $1"
"""The queue of an environment's job."""

COPIED = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock) SELECT queue_name, task_name, lock
    FROM procrastinate_jobs
"""
"""Another job of the same environment's."""


class Workers:
    def __init__(self, database: str, folder: Path, world: World) -> None:
        self._database, self.folder, self._world = database, folder, world
        self._backends: list[int] = []  # the server processes of the workers' connections

    @asynccontextmanager
    async def one(
        self,
        on: str = "here",
        target: Target = Target.PROCESS,
        database: str | None = None,
        standing: Mapping[EnvironmentId, Collection[ServiceId]] = {},
    ) -> AsyncIterator[WorkerEngine]:
        """A worker on the machine *on*, which sees its jobs in *database*, and that these services are *standing*."""
        outputs = self._world.outputs
        assert isinstance(outputs, PostgresOutput)

        async def none(position: int) -> tuple[()]:
            return ()

        async def services(position: int) -> Mapping[EnvironmentId, Collection[ServiceId]]:
            return standing

        here, runner = machine(self.folder / on), self._world.runner(target)
        engine = WorkerEngine(database or self._database, here, 300.0, runner, outputs, none, services, self._note)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()

    async def _note(self, connection: Connection) -> None:
        self._backends.append(connection.get_server_pid())

    async def after_stop(self, script: str) -> None:
        """Executes *script* after the last statements of stopped workers: a heartbeat may outlive its worker."""
        connection = await asyncpg.connect(self._database)
        running = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1)"
        while await connection.fetchval(running, self._backends):
            await asyncio.sleep(0.01)
        await connection.execute(script)
        await connection.close()


@pytest.fixture
def workers(database: str, tmp_path: Path, world: World) -> Workers:
    return Workers(database, tmp_path, world)


async def test_a_deployment_requested_while_no_worker_runs_is_carried_out_by_the_next_one(
    world: World, workers: Workers
) -> None:
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one():
        assert (await world.over(id_)).status == Status.SUCCEEDED


async def test_deployments_of_an_environment_are_carried_out_one_after_another_by_many_workers(
    world: World, workers: Workers
) -> None:
    environment = await world.environment(["api"])
    async with workers.one(), workers.one():
        ids = [await world.request(environment, actor) for actor in ("ann", "bob", "carol")]
        overs = [await world.over(id_) for id_ in ids]
    assert [over.status for over in overs] == [Status.SUCCEEDED] * 3
    assert world.target.marks == 3 * ["begin build api 1", "end build api 1", "begin deploy api 1", "end deploy api 1"]


async def test_a_deployment_goes_on_where_the_worker_that_handed_it_over_left_it(
    world: World, workers: Workers
) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one():
        await gate.reached.wait()
    async with workers.one():
        gate.opened.set()
        assert (await world.over(id_)).status == Status.SUCCEEDED
    assert world.target.marks == ["begin build api 1", "end build api 1", "begin deploy api 1", "end deploy api 1"]


async def test_workers_are_told_when_a_job_may_be_fetched_again_or_its_environment_is_free(
    world: World, database: str
) -> None:
    """procrastinate itself tells them of new jobs only; the others they would find by looking."""
    await world.request(await world.environment(["api"]))
    connection, told = await asyncpg.connect(database), asyncio.Event()
    listening = await asyncpg.connect(database)
    await listening.add_listener("procrastinate_queue_v1#process", lambda *_: told.set())
    for action in (
        "UPDATE procrastinate_jobs SET status = 'doing'; UPDATE procrastinate_jobs SET status = 'todo'",
        COPIED,
        "DELETE FROM procrastinate_jobs WHERE id = (SELECT min(id) FROM procrastinate_jobs)",
    ):
        await connection.execute(action)
        async with asyncio.timeout(20):
            await told.wait()
        told.clear()
    await listening.close()
    await connection.close()


async def test_a_cancellation_reaches_the_worker(world: World, workers: Workers) -> None:
    world.target.on("build api", Gate())
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one():
        await world.reaches(id_, "BuildStarted")
        await world.cancel(id_, forced=True)
        assert (await world.over(id_)).status == Status.CANCELLED


async def test_a_removed_service_is_stopped(world: World, workers: Workers) -> None:
    environment = await world.environment(["api", "web"])
    service = await world.service(environment, "api")
    async with workers.one():
        await world.over(await world.request(environment))
        await world.remove(environment, "api")
        await world.target.has_stopped(service)
    assert {await world.service(environment, "web")} == world.target.up


@pytest.mark.parametrize("is_astray", [False, True])
async def test_an_environment_of_processes_stays_on_its_machine(
    world: World, workers: Workers, database: str, is_astray: bool
) -> None:
    """Though its job may come to another: when the machine was taken for gone just before it was heard of again."""
    environment = await world.environment(["api"])
    async with workers.one(on="first"):
        await world.over(await world.request(environment))
    id_ = await world.request(environment)
    connection = await asyncpg.connect(database)
    queue = await connection.fetchval(QUEUE, str(environment))
    assert queue == machine(workers.folder / "first").id.hex
    if is_astray:
        await connection.execute("UPDATE procrastinate_jobs SET queue_name = 'process'")
    home = await connection.fetch("SELECT * FROM homes")
    async with workers.one(on="second"):
        other = await world.request(await world.environment(["lone"]))
        assert (await world.over(other)).status == Status.SUCCEEDED
        assert (await world.deployment(id_)).status == Status.QUEUED
        while await connection.fetchval(QUEUE, str(environment)) != queue:
            await asyncio.sleep(0.01)
        async with workers.one(on="first"):
            assert (await world.over(id_)).status == Status.SUCCEEDED
    assert await connection.fetch("SELECT * FROM homes WHERE environment = $1", environment) == home
    await connection.close()


async def test_what_ran_on_a_machine_that_is_gone_is_said_to_be_begun_anew(
    world: World, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though that can't be said at once."""
    assert isinstance(world.outputs, PostgresOutput)
    reset_offset, tries = world.outputs.reset_offset, 0

    async def falter(*attempt: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LogUnavailable("The database is away.")
        await reset_offset(*attempt)

    monkeypatch.setattr(world.outputs, "reset_offset", falter)

    async def print_and_wait(request: StepRequest, output: StepOutput) -> None:
        await output.write(["working"], upto=8)
        await gate(request, output)

    gate = Gate()
    world.target.on("build api", print_and_wait)
    environment = await world.environment(["api"])
    api = await world.service(environment, "api")
    id_ = await world.request(environment)
    async with workers.one(on="first"):
        await gate.reached.wait()
        async for _ in followed(world.outputs, id_):
            break
    await workers.after_stop(GONE)
    async with workers.one(on="second"):
        async for lines in followed(world.outputs, id_, after=1):
            assert "is lost; the step restarts on" in lines[0].text
            break
        assert await world.outputs.offset(id_, api, Phase.BUILD, 1) == 0
        gate.opened.set()
        assert (await world.over(id_)).status == Status.SUCCEEDED


@pytest.mark.parametrize("starts_over", [False, True])
async def test_that_a_step_is_begun_anew_is_said_again_when_the_connection_broke_meanwhile(
    world: World, workers: Workers, database: str, starts_over: bool
) -> None:
    """Also when the worker starts over by that, and whoever gets the job next."""
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one(on="first"):
        await gate.reached.wait()
    await workers.after_stop(GONE)
    await world.outputs.close()
    async with far(database) as (proxy, dsn):
        world.outputs = await PostgresOutput.open(dsn)
        proxy.hushes = b"the step restarts on"
        async with workers.one(on="second") as engine:
            await proxy.has_hushed.wait()
            proxy.cut()
            if starts_over:
                await engine.stop()
                await engine.start()
            proxy.speak()
            async for lines in followed(world.outputs, id_):
                assert ["is lost; the step restarts on" in line.text for line in lines] == [True]
                break
            gate.opened.set()
            assert (await world.over(id_)).status == Status.SUCCEEDED
        await world.outputs.close()
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT lost FROM homes") is None
    await connection.close()


async def test_when_nobody_could_be_heard_of_no_machine_is_taken_for_gone(world: World, workers: Workers) -> None:
    """As after the database was away for longer than that, whichever machine finds it first."""
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one(on="first"):
        await gate.reached.wait()
    async with workers.one(on="second"):
        await world.over(await world.request(await world.environment(["lone"])))
    await workers.after_stop("UPDATE machines SET seen_at = seen_at - interval '1 hour'")
    async with workers.one(on="second"):
        await world.over(await world.request(await world.environment(["another"])))
        async with workers.one(on="first"):
            gate.opened.set()
            assert (await world.over(id_)).status == Status.SUCCEEDED
    assert not [line for line in await world.outputs.read(id_) if "is lost" in line.text]


async def test_several_workers_may_find_at_once_that_nobody_could_be_heard_of(database: str, tmp_path: Path) -> None:
    """None waits for one that has only looked: two that have would wait for each other."""
    await jobs.prepare(database)
    connection = await asyncpg.connect(database)
    async with Jobs(database, "w", machine(tmp_path), gone=300.0).open() as of_here, asyncio.timeout(30):
        await of_here.heartbeat()
        await connection.execute("UPDATE machines SET seen_at = now() - interval '1 hour'")
        async with connection.transaction():
            await connection.fetch("SELECT max(seen_at) FROM machines")
            assert not await of_here.heartbeat()
    await connection.close()


async def test_a_machine_that_comes_back_stops_what_is_on_another_by_now(world: World, workers: Workers) -> None:
    moves, stays = await world.environment(["api"]), await world.environment(["web"])
    api, web = await world.service(moves, "api"), await world.service(stays, "web")
    standing = {moves: [api], stays: [web]}
    async with workers.one(on="first", standing=standing):
        for environment in (moves, stays):
            await world.over(await world.request(environment))
    await workers.after_stop(GONE)
    async with workers.one(on="second", standing=standing):
        await world.over(await world.request(moves))
    world.target.up = {api, web}  # the target is one for all machines here: this is what the first one has left
    async with workers.one(on="first", standing=standing):
        await world.over(await world.request(stays))  # begun after the tidying up
    assert world.target.up == {web}


async def test_a_worker_begins_without_reading_what_is_elsewhere(
    world: World, workers: Workers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it begins as soon, however many environments the other machines have."""
    away = [await world.environment(["api"]) for _ in range(3)]
    connection = await asyncpg.connect(database)
    await connection.execute(MOVED)
    await connection.executemany("INSERT INTO homes VALUES ($1, $2)", [(each, UUID(int=1)) for each in away])
    await connection.close()
    asked: list[UUID] = []
    events = PostgresLog.events

    def counted(log: PostgresLog, stream: UUID, after: int = 0, until: int | None = None) -> Any:
        asked.append(stream)
        return events(log, stream, after, until)

    monkeypatch.setattr(PostgresLog, "events", counted)
    stays = await world.environment(["web"])
    async with workers.one(standing={each: [ServiceId(ids.new())] for each in away}):
        await world.over(await world.request(stays))
    assert not set(asked) & set(away)


async def test_a_worker_that_learns_that_its_machine_was_taken_for_gone_stops_what_is_on_another_by_now(
    world: World, workers: Workers, database: str
) -> None:
    environment = await world.environment(["api"])
    api = await world.service(environment, "api")
    async with workers.one(standing={environment: [api]}):
        await world.over(await world.request(environment))
        connection = await asyncpg.connect(database)
        await connection.execute(MOVED)
        await connection.close()
        async with asyncio.timeout(20):
            await world.target.has_stopped(api)


async def test_who_comes_to_a_machine_where_others_work_stops_nothing_there(
    world: World, workers: Workers, database: str
) -> None:
    environment = await world.environment(["api"])
    api = await world.service(environment, "api")
    connection = await asyncpg.connect(database)
    async with workers.one(standing={environment: [api]}):
        await world.over(await world.request(environment))
        async with workers.one():  # which knows of nothing that is to stay
            while await connection.fetchval("SELECT count(*) FROM procrastinate_workers") < 2:
                await asyncio.sleep(0.01)
            assert world.target.up == {api}
    await connection.close()


async def test_any_machine_may_go_on_with_what_runs_on_another_target(
    world: World, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    world.target.on("deploy api", gate)
    id_ = await world.request(await world.environment(["api"], spec=ServiceSpec(image="api"), target=Target.DOCKER))
    async with workers.one(on="first", target=Target.DOCKER):
        await gate.reached.wait()
    async with workers.one(on="second", target=Target.DOCKER):
        gate.opened.set()
        assert (await world.over(id_)).status == Status.SUCCEEDED
    assert "Stopping unneeded services" not in caplog.text  # nobody tidied up there


async def test_a_worker_that_falls_silent_while_it_hands_on_keeps_no_other_from_it(
    world: World, database: str, tmp_path: Path
) -> None:
    id_ = await world.request(await world.environment(["api"]))
    here = machine(tmp_path)
    async with (
        far(database) as (proxy, dsn),
        Jobs(dsn, "w", here, gone=300.0).open() as silent,
        Jobs(database, "w", here, gone=300.0).open() as other,
    ):
        proxy.hushes = b"deployment"  # a column of the answer
        asking = asyncio.create_task(silent.release_stalled())
        await proxy.has_hushed.wait()
        connection = await asyncpg.connect(database)
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing'")  # of a worker that isn't there
        await connection.close()
        while not (handed_on := await other.release_stalled()):
            await asyncio.sleep(0.01)
        assert handed_on == [(id_, None)]
        proxy.speak()
        assert await asking == []


ENDED_ELSEWHERE = """
    INSERT INTO machines VALUES ('00000000-0000-0000-0000-000000000001', 'lost', now() - interval '1 hour');
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args)
        SELECT queue_of('00000000-0000-0000-0000-000000000001'), 'drive', 'any',
            jsonb_build_object('deployment', originator_id)
        FROM stored_events WHERE topic = 'deployment.DeploymentPlanned';
"""
"""Leaves a job of each deployment in the queue of a lost machine."""


async def test_a_job_of_an_archived_deployment_keeps_no_other_from_being_handed_on(
    world: World, workers: Workers, database: str, tmp_path: Path
) -> None:
    environment = await world.environment(["api"])
    async with workers.one():
        await world.over(await world.request(environment))
    async with archiving(database) as log:
        later = datetime.now(UTC) + timedelta(days=1)
        assert (await archive.archive(log, tmp_path / "archive", later, lambda share: None)).deployments == 1
    await workers.after_stop(ENDED_ELSEWHERE)
    id_ = await world.request(environment)
    await workers.after_stop("UPDATE procrastinate_jobs SET status = 'doing' WHERE lock <> 'any'")  # of no worker
    async with Jobs(database, "w", machine(tmp_path / "other"), gone=300.0).open() as other:
        assert [deployment for deployment, _ in await other.release_stalled()] == [id_]


async def test_a_worker_that_was_taken_for_stalled_begins_again(
    world: World, workers: Workers, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    environment = await world.environment(["api"])
    async with workers.one():
        assert (await world.over(await world.request(environment))).status == Status.SUCCEEDED
        connection = await asyncpg.connect(database)
        await connection.execute("DELETE FROM procrastinate_workers")  # as others do with a stalled one
        await connection.close()
        assert (await world.over(await world.request(environment))).status == Status.SUCCEEDED
    assert "The worker failed" not in caplog.messages
    assert any("Other workers took this one for stalled" in each for each in caplog.messages)


async def test_what_a_living_worker_drives_is_its_own(
    world: World, workers: Workers, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STALLED", 60.0)  # however slow this machine is
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one(), Jobs(database, "w", machine(tmp_path / "other"), gone=300.0).open() as other:
        await gate.reached.wait()
        assert await other.release_stalled() == []
        gate.opened.set()
        await world.over(id_)
    assert (await world.recorded(id_)).count("DeploymentTakenUp") == 1


async def test_an_environment_goes_on_when_it_could_not_be_said_that_a_deployment_is_over(
    world: World, workers: Workers, database: str
) -> None:
    gate = Gate()
    world.target.on("build api", gate)
    environment = await world.environment(["api"])
    id_ = await world.request(environment)
    async with workers.one():
        await gate.reached.wait()
        connection, looking = await asyncpg.connect(database), await asyncpg.connect(database)
        async with connection.transaction():
            await connection.execute("SELECT FROM procrastinate_jobs FOR UPDATE")
            gate.opened.set()
            await world.over(id_)
            while not await looking.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE query LIKE 'DELETE FROM procrastinate_jobs%' AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
        await connection.close()
        await looking.close()
        assert (await world.over(await world.request(environment))).status == Status.SUCCEEDED


async def test_a_worker_begins_again_when_no_word_comes_of_a_job_that_it_asked_for(
    world: World, workers: Workers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "STATEMENT_TIMEOUT", 1.0)
    async with far(database) as (proxy, dsn), workers.one(database=dsn):
        await world.over(await world.request(await world.environment(["api"])))
        proxy.hushes = b"process"  # the queue
        await proxy.has_hushed.wait()
        proxy.lose(all_of_them=True)
        proxy.speak()
        assert (await world.over(await world.request(await world.environment(["api"])))).status == Status.SUCCEEDED


async def test_a_worker_whose_database_does_not_let_it_hand_over_ends_all_the_same_and_says_so(
    world: World, workers: Workers, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "RELEASE_TIMEOUT", 0.1)
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with far(database) as (proxy, dsn):
        async with workers.one(database=dsn):
            [working] = [task for task in asyncio.all_tasks() if task.get_name() == "worker"]
            await gate.reached.wait()
            proxy.hush()
        assert not working.done()
        assert "The worker did not release its deployments within 0.1 s; others resume them in 4 s" in caplog.text
        proxy.speak()
        await asyncio.wait([working])
    async with workers.one():
        gate.opened.set()
        assert (await world.over(id_)).status == Status.SUCCEEDED


@pytest.fixture
def brief_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts from now on gives up its sign of life before the database gives up the lock it waits for."""
    monkeypatch.setattr(worker, "STATEMENT_TIMEOUT", 1.0)


@pytest.mark.usefixtures("brief_statements")
async def test_a_worker_whose_sign_of_life_is_not_taken_lets_go_of_what_it_drives_and_starts_over(
    world: World, driven: tuple[DeploymentId, Gate], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Though all else is answered."""
    caplog.set_level("INFO")
    id_, gate = driven
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute("SELECT FROM machines FOR UPDATE")
        while "The worker is interrupted, and retries: the database does not answer" not in caplog.text:
            await asyncio.sleep(0.01)
        assert await connection.fetchval("SELECT status FROM procrastinate_jobs") == "todo"
    await connection.close()
    while world.target.watched["build api 1"] < 2:
        await asyncio.sleep(0.01)
    assert "The worker is running again" in caplog.messages
    gate.opened.set()
    assert (await world.over(id_)).status == Status.SUCCEEDED
    assert world.target.marks.count("begin build api 1") == 1


async def test_a_worker_says_once_that_its_database_is_away_however_long_that_lasts(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    tried = asyncio.Semaphore(0)

    def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        tried.release()

    async with await asyncio.start_server(break_off, "127.0.0.1") as away:
        port = away.sockets[0].getsockname()[1]
        async with workers.one(database=f"postgresql://stageline@127.0.0.1:{port}/shop?sslmode=disable"):
            for _ in range(4):
                await tried.acquire()
    said = [message for message in caplog.messages if "worker" in message]
    assert len(said) == len(set(said))
    assert said[0].startswith(f"The worker is interrupted, and retries: The database shop at 127.0.0.1:{port}: ")


async def test_what_a_worker_fetched_and_did_not_begin_is_anothers_as_soon_as_it_ends(
    world: World, database: str, tmp_path: Path
) -> None:
    await world.request(await world.environment(["api"]))
    here = machine(tmp_path)
    queues = "process", here.id.hex
    connectors = [Connector(database) for _ in range(2)]
    for each in connectors:
        await each.open_async()
    async with Jobs(database, "w", here, gone=300.0).open() as of_here:
        await of_here.heartbeat()
    ending, other = (Manager(each, here.id, 300.0, most=3) for each in connectors)
    own, others = await ending.register_worker(), await other.register_worker()

    handed_over = await ending.fetch_job(queues, own)
    assert handed_over is not None
    await ending.retry_job(handed_over)
    done = await ending.fetch_job(queues, own)
    assert done is not None
    await ending.finish_job(done, JobStatus.SUCCEEDED, delete_job=True)  # it may do three again

    for _ in range(3):
        await world.request(await world.environment(["api"]))
    begun = await ending.fetch_job(queues, own)
    assert begun is not None
    assert await other.fetch_job(queues, others) is None  # all three were fetched at once
    connection = await asyncpg.connect(database)
    left = "SELECT id FROM procrastinate_jobs WHERE id > $1 ORDER BY id"
    handed_on, let_go = [row["id"] for row in await connection.fetch(left, begun.id)]
    await connection.execute("UPDATE procrastinate_jobs SET worker_id = $1 WHERE id = $2", others, handed_on)
    await ending.finish_job(begun, JobStatus.SUCCEEDED, delete_job=True)
    await ending.close()
    assert not await connection.fetch("SELECT FROM procrastinate_jobs WHERE id = $1", begun.id)
    await connection.close()

    found = await other.fetch_job(queues, others)
    assert found is not None
    assert found.id == let_go
    assert await other.fetch_job(queues, others) is None
    for each in connectors:
        await each.close_async()


WAIT = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock)
    SELECT 'process', 'drive', gen_random_uuid()::text FROM generate_series(1, $1)
"""


async def test_fetching_costs_the_same_however_many_wait(database: str, tmp_path: Path) -> None:
    """Also where the database takes the table for empty, as it was when that was last looked into."""
    await jobs.prepare(database)
    here = machine(tmp_path)
    async with Jobs(database, "w", here, gone=300.0).open() as of_here:
        await of_here.heartbeat()
    connection = await postgres_connection.connect(database)
    await connection.execute("ANALYZE procrastinate_jobs")
    worker = await connection.fetchval("SELECT procrastinate_register_worker_v1()")
    fetch = "SELECT fetch_jobs('{process}', $1, 8, $2, '5 minutes')"
    await connection.execute(WAIT, 100)
    await pages(connection, fetch, worker, here.id)  # the first reads the catalogues
    few = await pages(connection, fetch, worker, here.id)
    await connection.execute(WAIT, 5_000)
    assert await pages(connection, fetch, worker, here.id) < 2 * few
    assert await connection.fetchval("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'") == 24
    await connection.close()


async def test_what_is_done_costs_the_same_however_many_wait(database: str) -> None:
    """Also where the database takes the table for empty: those that wait for the same environment are found by that."""
    await jobs.prepare(database)
    connection = await postgres_connection.connect(database)
    await connection.execute("ANALYZE procrastinate_jobs")
    await connection.execute(
        "CREATE FUNCTION pg_temp.done(job bigint) RETURNS void LANGUAGE sql"
        " AS $$ DELETE FROM procrastinate_jobs WHERE id = job $$"
    )
    await connection.execute(WAIT, 100)
    await pages(connection, "SELECT pg_temp.done(1)")  # the first reads the catalogues
    few = await pages(connection, "SELECT pg_temp.done(2)")
    await connection.execute(WAIT, 5_000)
    assert await pages(connection, "SELECT pg_temp.done(3)") < 2 * few
    await connection.close()


async def test_nothing_that_is_said_of_jobs_waits_for_the_disk(database: str) -> None:
    connector = Connector(database)
    await connector.open_async()
    assert await connector.execute_query_one_async("SHOW synchronous_commit") == {"synchronous_commit": "off"}
    await connector.close_async()


@pytest.fixture
async def driven(world: World, workers: Workers) -> AsyncIterator[tuple[DeploymentId, Gate]]:
    """A deployment that the only worker is about."""
    gate = Gate()
    world.target.on("build api", gate)
    id_ = await world.request(await world.environment(["api"]))
    async with workers.one():
        await gate.reached.wait()
        yield id_, gate


async def test_a_worker_that_gets_its_own_job_again_drives_it_once(
    world: World, driven: tuple[DeploymentId, Gate], database: str
) -> None:
    id_, gate = driven
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL")
    while await connection.fetchval("SELECT status FROM procrastinate_jobs") != "doing":
        await asyncio.sleep(0.01)
    await connection.close()
    await world.over(await world.request(await world.environment(["later"])))
    gate.opened.set()
    assert (await world.over(id_)).status == Status.SUCCEEDED
    assert world.target.watched["build api 1"] == 1


async def test_a_worker_from_whom_another_took_a_deployment_keeps_the_job_until_that_is_over(
    world: World, driven: tuple[DeploymentId, Gate], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody would have it when the other one dies."""
    id_, gate = driven
    other = asyncio.create_task(world.runner().drive(id_))
    while "was resumed by another worker" not in caplog.text:
        await asyncio.sleep(0.01)
    await world.over(await world.request(await world.environment(["later"])))
    connection = await asyncpg.connect(database)
    statement = "SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'deployment' = $1"
    assert await connection.fetchval(statement, str(id_)) == 1
    gate.opened.set()
    await other
    while await connection.fetchval(statement, str(id_)):
        await asyncio.sleep(0.01)
    await connection.close()


async def test_a_job_of_a_deployment_that_is_over_is_done(world: World, workers: Workers, database: str) -> None:
    """As when the database has crashed, and forgotten that it was."""
    connection = await asyncpg.connect(database)
    id_ = await world.request(await world.environment(["api"]))
    job = await connection.fetchrow("SELECT queue_name, task_name, lock, args FROM procrastinate_jobs")
    assert job is not None
    async with workers.one():
        await world.over(id_)
        await connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args) VALUES ($1, $2, $3, $4)", *job
        )
        while await connection.fetchval("SELECT count(*) FROM procrastinate_jobs"):
            await asyncio.sleep(0.01)
    assert (await world.recorded(id_)).count("DeploymentTakenUp") == 1
    await connection.close()


async def test_workers_that_start_at_once_make_their_tables_once(postgres: str) -> None:
    with created(postgres, "template0") as dsn:
        await migrate(dsn)
        await asyncio.gather(*(jobs.prepare(dsn) for _ in range(5)))


async def test_what_became_of_a_job_is_said_again_when_no_word_comes_of_it(world: World, database: str) -> None:
    """Unless it is another's by now."""
    await world.request(await world.environment(["api"]))
    async with far(database) as (proxy, dsn):
        connector = Connector(dsn)
        await connector.open_async()
        proxy.swallows = b"DELETE"  # the answer
        await connector.execute_query_async("DELETE FROM procrastinate_jobs")
        assert proxy.has_swallowed.is_set()
        assert await connector.execute_query_all_async("SELECT FROM procrastinate_jobs") == []
        await connector.execute_query_async("DO $$ BEGIN RAISE EXCEPTION 'Job was not found'; END $$")
        await connector.close_async()


async def test_of_an_environments_jobs_one_is_fetched_at_a_time_in_their_order(
    world: World, database: str, tmp_path: Path
) -> None:
    await world.request(await world.environment(["api"]))
    connection = await asyncpg.connect(database)
    await connection.execute(COPIED)
    first, second = [row["id"] for row in await connection.fetch("SELECT id FROM procrastinate_jobs ORDER BY id")]
    here, connector = machine(tmp_path), Connector(database)
    await connector.open_async()
    async with Jobs(database, "w", here, gone=300.0).open() as of_here:
        await of_here.heartbeat()
    manager = Manager(connector, here.id, 300.0, 8)
    worker = await manager.register_worker()
    for id_ in (first, second):
        job = await manager.fetch_job(["process", here.id.hex], worker)
        assert job is not None
        assert job.id == id_
        assert await manager.fetch_job(["process", here.id.hex], worker) is None
        await connection.execute("DELETE FROM procrastinate_jobs WHERE id = $1", id_)
    await connection.close()
    await connector.close_async()


async def test_the_database_learns_from_the_workers_which_targets_are_local(database: str, tmp_path: Path) -> None:
    await jobs.prepare(database)
    connection = await asyncpg.connect(database)

    async def local() -> set[Target]:
        return {target for target in Target if await connection.fetchval("SELECT is_local($1)", target)}

    assert await local() == set()
    async with Jobs(database, "w", machine(tmp_path), gone=300.0).open() as declared:
        await declared.declare({Target.PROCESS: True, Target.DOCKER: True})
        assert await local() == {Target.PROCESS, Target.DOCKER}
        await declared.declare({Target.DOCKER: False})
    assert await local() == {Target.PROCESS}
    await connection.close()


async def test_a_database_of_a_time_before_declarations_keeps_its_environments_on_their_machines(
    world: World, workers: Workers, database: str
) -> None:
    async with workers.one():
        await world.over(await world.request(await world.environment(["api"])))
    connection = await asyncpg.connect(database)
    await connection.execute("DROP TABLE targets; UPDATE meta SET value = '9 old' WHERE name = 'jobs'")
    await jobs.prepare(database)
    assert await connection.fetchval("SELECT is_local('PROCESS')")
    await connection.close()


def test_what_the_database_does_for_workers_is_counted_up_when_it_changes() -> None:
    """After a change of jobs.sql, see whether `VERSION` must go up, and write the beginning of its new hash here."""
    script = (files("runner") / "jobs.sql").read_bytes()
    assert (jobs.VERSION, sha256(script).hexdigest()[:16]) == (11, "3f5d986b95f123d6")


async def test_a_worker_whose_data_folder_is_removed_stops_to_be_that_machine_and_says_so(
    world: World, workers: Workers, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workers.one():
        await world.over(await world.request(await world.environment(["api"])))
        here = machine(tmp_path / "here")
        here.file.unlink()
        while "machine: No such file or directory. Restore the file" not in caplog.text:
            await asyncio.sleep(0.01)
        connection = await asyncpg.connect(database)
        await connection.execute("DELETE FROM homes")
        await connection.execute("DELETE FROM machines")
        with pytest.raises(LogUnavailable):
            here.live()
        id_ = await world.request(await world.environment(["api"]))
        async with workers.one(on="other"):
            assert (await world.over(id_)).status == Status.SUCCEEDED
        assert [row["id"] for row in await connection.fetch("SELECT id FROM machines")] == [
            machine(tmp_path / "other").id
        ]
        await connection.close()
    assert not here.file.exists()


def test_a_machine_keeps_its_number(tmp_path: Path) -> None:
    assert machine(tmp_path / "data") == machine(tmp_path / "data")
    assert machine(tmp_path / "data").id != machine(tmp_path / "other").id


def test_a_file_without_a_machines_number_is_refused_with_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "machine").touch()
    with pytest.raises(
        LogUnavailable, match=r"machine holds no machine id\. Restore it; if you remove it, this becomes another"
    ):
        machine(tmp_path)


async def test_the_output_of_an_environment_is_on_the_machine_that_it_is_bound_to(database: str) -> None:
    """A server without that machine names it; one on it, and one that knows of no machine, reads its own files."""
    await migrate(database)
    await jobs.prepare(database)
    here, environment, unbound = UUID(int=1), EnvironmentId(ids.new()), EnvironmentId(ids.new())
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("INSERT INTO machines VALUES ($1, 'worker-2', now())", here)
        await connection.execute("INSERT INTO homes VALUES ($1, $2)", environment, here)
    finally:
        await connection.close()
    found = {}
    for machine_ in (here, UUID(int=2), None):
        roster = SharedRoster(database, machine_)
        found[machine_] = [await roster.elsewhere(each) for each in (environment, unbound)]
        await roster.close()
    assert found == {here: [None, None], UUID(int=2): ["worker-2", None], None: ["worker-2", None]}
