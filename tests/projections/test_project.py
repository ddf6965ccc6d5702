from msgspec.structs import replace

from domain.project import (
    EnvironmentId,
    EnvironmentNamed,
    ProjectCreated,
    ProjectDeleted,
    ProjectId,
    ProjectNamed,
    ProjectRenamed,
)
from projections import project
from projections.engine.views import ListPlace
from projections.project import ProjectView
from tests.projections.given import STREAM, at, folded, recorded

SHOP = ProjectView(id=ProjectId(STREAM), name="Shop", created_at=at(1), position=1)


def test_a_project_is_there_once_it_was_created() -> None:
    assert folded(project.projection, ProjectCreated(name="Shop")) == SHOP


def test_a_renamed_project_has_its_new_name_and_a_deleted_one_is_not_listed() -> None:
    renamed = replace(SHOP, name="Store", position=2)
    assert folded(project.projection, ProjectCreated(name="Shop"), ProjectRenamed(name="Store")) == renamed
    deleted = replace(SHOP, is_deleted=True, position=2)
    assert folded(project.projection, ProjectCreated(name="Shop"), ProjectDeleted()) == deleted
    assert project.projection.place(deleted) is None


def test_the_names_of_its_environments_change_nothing_of_a_project() -> None:
    named = EnvironmentNamed(environment=EnvironmentId(STREAM), name="Production")
    assert folded(project.projection, ProjectCreated(name="Shop"), named) == SHOP


def test_the_catalog_is_no_project() -> None:
    named = ProjectNamed(project=ProjectId(STREAM), name="Shop")
    assert project.projection.key(recorded(named)) is None


def test_projects_are_listed_by_name_whatever_its_case() -> None:
    assert project.projection.place(SHOP) == ListPlace("", "shop")
