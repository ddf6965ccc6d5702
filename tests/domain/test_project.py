from uuid import UUID

import pytest

from domain import project
from domain.errors import EnvironmentNotFound, InvalidName, NameTaken, ProjectNotEmpty, ProjectNotFound
from domain.project import (
    CreateProject,
    DeleteProject,
    EnvironmentId,
    EnvironmentNamed,
    EnvironmentNameFreed,
    FreeEnvironmentName,
    FreeProjectName,
    NameEnvironment,
    NameProject,
    ProjectCreated,
    ProjectDeleted,
    ProjectId,
    ProjectNamed,
    ProjectNameFreed,
    ProjectRenamed,
    RenameProject,
)
from tests.domain.given import Given

given = Given(project.decider)
given_catalog = Given(project.catalog)

SHOP, BLOG = ProjectId(UUID(int=1)), ProjectId(UUID(int=2))
PROD, TEST = EnvironmentId(UUID(int=3)), EnvironmentId(UUID(int=4))

created = ProjectCreated(name="Shop")
shop = ProjectNamed(project=SHOP, name="Shop")
prod = EnvironmentNamed(environment=PROD, name="Production")
test = EnvironmentNamed(environment=TEST, name="Test")


# The catalog of projects


def test_the_name_of_a_deleted_project_is_free() -> None:
    freed = ProjectNameFreed(project=SHOP)
    given_catalog(shop).when(FreeProjectName(project=SHOP)).then(freed)
    given_catalog(shop, freed).when(FreeProjectName(project=SHOP)).then()
    blog = ProjectNamed(project=BLOG, name="Shop")
    given_catalog(shop, freed).when(NameProject(project=BLOG, name="Shop")).then(blog)


def test_the_catalog_lists_a_project_under_its_trimmed_name() -> None:
    state = given_catalog().when(NameProject(project=SHOP, name=" Shop ")).then(shop)
    assert state.find("sHOP") == SHOP


def test_two_projects_cannot_share_a_name_whatever_its_case() -> None:
    given_catalog(shop).when(NameProject(project=BLOG, name="SHOP")).refused(NameTaken(kind="project", name="Shop"))


def test_a_project_that_is_listed_already_is_not_listed_twice() -> None:
    given_catalog(shop).when(NameProject(project=SHOP, name="Shop")).then()


def test_a_project_that_is_renamed_is_listed_once() -> None:
    state = (
        given_catalog(shop).when(NameProject(project=SHOP, name="SHOP")).then(ProjectNamed(project=SHOP, name="SHOP"))
    )
    assert [entry.name for entry in state.projects] == ["SHOP"]


def test_the_catalog_takes_no_name_that_cannot_be_one() -> None:
    given_catalog().when(NameProject(project=SHOP, name="a\nb")).refused(
        InvalidName(name="a\nb", why="control characters are not allowed")
    )


def test_a_project_is_found_by_its_name_only() -> None:
    blog = ProjectNamed(project=BLOG, name="Straße")
    state = given_catalog(shop, blog).state
    assert state.find(" strasse ") == BLOG
    with pytest.raises(ProjectNotFound) as caught:
        state.find("Forum")
    assert caught.value == ProjectNotFound(project="Forum")


# A project


def test_a_project_is_created_with_its_trimmed_name() -> None:
    state = given().when(CreateProject(name=" Shop ")).then(created)
    assert state.name == "Shop"


def test_a_project_needs_a_name() -> None:
    given().when(CreateProject(name="")).refused(InvalidName(name="", why="it is empty"))


def test_a_project_is_not_created_twice() -> None:
    given(created).when(CreateProject(name="Shop")).then()


def test_an_environment_is_named_in_its_project() -> None:
    state = given(created, test).when(NameEnvironment(environment=PROD, name=" Production")).then(prod)
    assert state.find("PRODUCTION") == PROD
    assert state.find("test") == TEST


def test_an_environment_is_not_named_in_a_project_that_is_not_there() -> None:
    given().when(NameEnvironment(environment=PROD, name="Production")).refused(ProjectNotFound(project=""))
    given().when(FreeEnvironmentName(environment=PROD)).refused(ProjectNotFound(project=""))


def test_two_environments_of_a_project_cannot_share_a_name_whatever_its_case() -> None:
    given(created, prod).when(NameEnvironment(environment=TEST, name="pRODUCTION")).refused(
        NameTaken(kind="environment", name="Production")
    )


def test_an_environment_takes_no_name_that_cannot_be_one() -> None:
    given(created).when(NameEnvironment(environment=PROD, name="")).refused(InvalidName(name="", why="it is empty"))


def test_an_environment_that_has_the_name_already_is_not_named_again() -> None:
    given(created, prod).when(NameEnvironment(environment=PROD, name=" Production ")).then()


def test_an_environment_may_change_the_case_of_its_own_name() -> None:
    given(created, prod).when(NameEnvironment(environment=PROD, name="PRODUCTION")).then(
        EnvironmentNamed(environment=PROD, name="PRODUCTION")
    )


def test_a_renamed_environment_frees_its_earlier_name() -> None:
    live = EnvironmentNamed(environment=PROD, name="Live")
    state = given(created, prod).when(NameEnvironment(environment=PROD, name="Live")).then(live)
    assert [entry.name for entry in state.environments] == ["Live"]
    given(created, prod, live).when(NameEnvironment(environment=TEST, name="Production")).then(
        EnvironmentNamed(environment=TEST, name="Production")
    )


def test_a_freed_name_can_be_given_again() -> None:
    freed = EnvironmentNameFreed(environment=PROD)
    given(created, prod).when(FreeEnvironmentName(environment=PROD)).then(freed)
    given(created, prod, freed).when(NameEnvironment(environment=TEST, name="Production")).then(
        EnvironmentNamed(environment=TEST, name="Production")
    )


def test_a_name_that_is_free_already_is_not_freed_again() -> None:
    given(created, test).when(FreeEnvironmentName(environment=PROD)).then()


def test_an_environment_is_found_by_its_name_only() -> None:
    with pytest.raises(EnvironmentNotFound) as caught:
        given(created, prod).state.find("Test")
    assert caught.value == EnvironmentNotFound(environment="Test")


def test_a_project_is_renamed() -> None:
    renamed = ProjectRenamed(name="Store")
    assert given(created).when(RenameProject(name=" Store ")).then(renamed).name == "Store"
    given(created, renamed).when(RenameProject(name="Store")).then()
    given(created).when(RenameProject(name="")).refused(InvalidName(name="", why="it is empty"))
    given().when(RenameProject(name="Store")).refused(ProjectNotFound(project=""))


def test_a_project_without_environments_is_deleted() -> None:
    deleted = ProjectDeleted()
    given(created).when(DeleteProject()).then(deleted)
    given(created, prod, EnvironmentNameFreed(environment=PROD)).when(DeleteProject()).then(deleted)
    for command in (DeleteProject(), RenameProject(name="Store"), NameEnvironment(environment=PROD, name="P")):
        given(created, deleted).when(command).refused(ProjectNotFound(project="Shop"))


def test_a_project_with_environments_is_not_deleted_and_they_are_named() -> None:
    given(created, prod, test).when(DeleteProject()).refused(
        ProjectNotEmpty(project="Shop", environments="Production, Test")
    )
    many = [EnvironmentNamed(environment=EnvironmentId(UUID(int=at)), name=f"e{at}") for at in range(1, 13)]
    given(created, *many).when(DeleteProject()).refused(
        ProjectNotEmpty(project="Shop", environments="e1, e2, e3, e4, e5, e6, e7, e8, e9, e10 and 2 more")
    )
