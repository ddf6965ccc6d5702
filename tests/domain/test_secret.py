"""Secrets of environments and projects, of which this room sees the sealed values only."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from domain import pipeline, project
from domain.errors import InvalidSecret, LimitReached, Refused, SecretNotFound
from domain.pipeline.diff import diff
from domain.pipeline.environment import EnvironmentKeyRotated, EnvironmentSecretDeleted, EnvironmentSecretSet
from domain.pipeline.undo import without
from domain.project import ProjectCreated, ProjectKeyRotated, ProjectSecretDeleted, ProjectSecretSet
from domain.secret import (
    MAX_REPLACED,
    MAX_SEALED,
    MAX_SECRETS,
    DeleteSecrets,
    RotateKey,
    Secret,
    Secrets,
    SetSecret,
    with_secret,
)
from tests.domain.example import build, created
from tests.domain.given import Given

given = Given(pipeline.decider)
given_project = Given(project.decider)

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
shop = ProjectCreated(name="Shop")


def secret(name: str, version: int, sealed: str = "sealed", key: int = 1) -> Secret:
    return Secret(name=name, version=version, sealed=sealed, key=key, at=AT, by="ann")


def setting(name: str, sealed: str = "sealed", key: int = 1) -> SetSecret:
    return SetSecret(name=name, sealed=sealed, key=key, at=AT, by="ann")


one, two = secret("KEY", 1), secret("KEY", 2)
other = secret("OTHER", 2)


def test_a_secret_is_set_with_the_next_version() -> None:
    given(created).when(setting("KEY")).then(EnvironmentSecretSet(secret=one))
    given(created, EnvironmentSecretSet(secret=one)).when(setting("OTHER")).then(EnvironmentSecretSet(secret=other))
    given_project(shop).when(setting("KEY")).then(ProjectSecretSet(secret=one))


def test_an_equal_value_is_a_new_version_since_silence_would_confirm_a_guess() -> None:
    given(created, EnvironmentSecretSet(secret=one)).when(setting("KEY")).then(EnvironmentSecretSet(secret=two))


def test_a_version_is_never_used_again() -> None:
    history = (EnvironmentSecretSet(secret=one), EnvironmentSecretDeleted(name="KEY"))
    given(created, *history).when(setting("KEY")).then(EnvironmentSecretSet(secret=two))


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "x" * 256])
def test_a_name_is_one_of_a_variable(name: str) -> None:
    why = "a name has 1 to 255 letters, digits, _, . and -, and does not begin with a digit"
    given(created).when(setting(name)).refused(InvalidSecret(secret=name[:255], why=why))


def test_the_number_and_the_size_of_secrets_are_limited() -> None:
    full = [EnvironmentSecretSet(secret=secret(f"S{number}", number)) for number in range(1, MAX_SECRETS + 1)]
    limit: Refused = LimitReached(limit=MAX_SECRETS, what="secrets of a project or an environment")
    given(created, *full).when(setting("ONE_MORE")).refused(limit)
    given(created, *full).when(setting("S1")).then(EnvironmentSecretSet(secret=secret("S1", MAX_SECRETS + 1)))
    limit = LimitReached(limit=MAX_SEALED, what="characters in all sealed secrets of a project or an environment")
    large = EnvironmentSecretSet(secret=secret("KEY", 1, "x" * MAX_SEALED))
    given(created, large).when(setting("OTHER", "x")).refused(limit)


def test_secrets_are_deleted_by_name() -> None:
    history = (EnvironmentSecretSet(secret=one), EnvironmentSecretSet(secret=other))
    state = (
        given(created, *history).when(DeleteSecrets(names=("KEY", "KEY"))).then(EnvironmentSecretDeleted(name="KEY"))
    )
    assert state.secrets.names == ("OTHER",)
    given(created, *history).when(DeleteSecrets(names=("NONE",))).refused(
        SecretNotFound(owner="environment", secret="NONE")
    )
    given_project(shop, ProjectSecretSet(secret=one)).when(DeleteSecrets(names=("KEY",))).then(
        ProjectSecretDeleted(name="KEY")
    )
    given_project(shop).when(DeleteSecrets(names=("KEY",))).refused(SecretNotFound(owner="project", secret="KEY"))


def test_a_rotation_keeps_the_versions_and_forgets_earlier_values() -> None:
    again = replace(two, sealed="again", key=2)
    history = (EnvironmentSecretSet(secret=one), EnvironmentSecretSet(secret=two))
    before = given(created, *history).state.secrets
    assert (before.at_version(1), before.at_version(2)) == (one, two)
    rotated = EnvironmentKeyRotated(key=2, secrets=(again,))
    after = given(created, *history).when(RotateKey(key=2, secrets=(again,))).then(rotated).secrets
    assert (after.at_version(1), after.at_version(2), after.key, after.count) == (None, again, 2, 2)
    given_project(shop, ProjectSecretSet(secret=one)).when(RotateKey(key=2, secrets=())).then(
        ProjectKeyRotated(key=2, secrets=())
    )


def test_a_limited_number_of_earlier_values_stays_readable() -> None:
    secrets = Secrets()
    for version in range(1, MAX_REPLACED + 3):
        secrets = with_secret(secrets, secret("KEY", version))
    assert (secrets.at_version(1), secrets.at_version(2)) == (None, secret("KEY", 2))
    assert len(secrets.replaced) == MAX_REPLACED


def test_a_restore_and_an_undo_leave_secrets_alone() -> None:
    before = given(created, build).state
    after = given(created, build, EnvironmentSecretSet(secret=one)).state
    assert diff(after, before) == []
    assert without(after, before, [EnvironmentSecretSet(secret=one)]) == after
