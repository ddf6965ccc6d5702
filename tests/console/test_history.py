"""The history: every change, the board as it was at any version, what is different, and the way back."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import FIRST, LAST, SECOND, OpenPage, World, card, execute_as

pytestmark = pytest.mark.long


@pytest.fixture
def page(open_page: OpenPage, world: World) -> Page:
    page = open_page(f"/environments/{world.id}/history")
    expect(rows(page).filter(has_text="Frontend added")).to_be_visible()
    return page


def rows(page: Page) -> Locator:
    return page.locator(".changes > ul > li")


def stage(page: Page, name: str) -> Locator:
    """A stage of the board as it was."""
    return page.locator(".snapshot .stage").filter(has=page.get_by_role("heading", name=re.compile(name)))


def notices(page: Page) -> Locator:
    return page.get_by_role("list", name="Notices")


def menu(page: Page, version: int, item: str) -> None:
    page.get_by_role("button", name=f"Actions for version {version}", exact=True).click()
    page.get_by_role("menuitem", name=item).click()


def test_a_change_appears_at_once_with_its_author_and_reason(page: Page, world: World) -> None:
    world.do("moveService", service="DB", stage=SECOND, reason="it <b>needs</b> them")
    newest = rows(page).first
    expect(newest).to_contain_text("DB moved")
    expect(newest).to_contain_text("it <b>needs</b> them")
    expect(newest).to_contain_text("admin with the API")


def test_the_filters_are_in_the_address(page: Page, world: World) -> None:
    page.get_by_label("Search the history").fill("Rabbitmq")
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Made with").select_option("CONSOLE")
    expect(page.get_by_text("No change fits.")).to_be_visible()
    assert page.url.endswith("/history?text=Rabbitmq&origin=CONSOLE")
    page.reload()
    expect(page.get_by_text("No change fits.")).to_be_visible()
    page.get_by_label("Made with").select_option("")
    expect(rows(page)).to_have_count(2)
    world.do("moveService", service="Rabbitmq", stage=SECOND)
    expect(rows(page)).to_have_count(3)


def test_changes_are_found_by_person_kind_part_and_day(page: Page, world: World) -> None:
    mutation = f'mutation {{ skipService(environment: "{world.id}", service: "DB") {{ __typename }} }}'
    execute_as(world.server, "robot", "Ada", mutation)
    page.reload()
    expect(rows(page).first).to_contain_text("Ada")
    for label, choice, text in [
        ("Made by", "Ada", "skipped"),
        ("Kind of change", "service skipped", "skipped"),
        ("Stage or service", "Frontend", "Frontend added"),
    ]:
        page.get_by_label(label).select_option(label=choice)
        expect(rows(page)).to_have_count(1 if label != "Stage or service" else 2)
        expect(rows(page).last).to_contain_text(text)
        page.reload()
        expect(rows(page).last).to_contain_text(text)
        page.get_by_role("button", name="Clear").click()
        expect(rows(page).filter(has_text="Backend added")).to_be_visible()
    page.get_by_label("to", exact=True).fill("2020-01-01")
    expect(page.get_by_text("No change fits.")).to_be_visible()
    page.get_by_label("from", exact=True).fill("2020-01-01")
    page.get_by_label("to", exact=True).fill("2120-01-01")
    expect(rows(page).filter(has_text="Backend added")).to_be_visible()
    assert page.url.endswith("until=2120-01-01&since=2020-01-01")


def test_older_changes_are_read_when_asked_and_stay(open_page: OpenPage, world: World) -> None:
    for number in range(45):
        world.do("createStage", name=f"stage {number}")
    page = open_page(f"/environments/{world.id}/history")
    expect(rows(page)).to_have_count(50)
    page.get_by_role("button", name="Older changes").click()
    expect(rows(page).filter(has_text="stage 0 created")).to_be_visible()
    expect(page.locator(".changes .version").last).to_have_text("Show version v1")
    world.do("skipService", service="DB")
    expect(rows(page).first).to_contain_text("skipped")
    expect(page.locator(".changes .version").last).to_have_text("Show version v1")
    versions = page.locator(".changes .version").all_inner_texts()
    assert len(set(versions)) == rows(page).count()
    assert versions == sorted(versions, key=lambda text: -int(text.rpartition("v")[2]))


def test_a_slider_draws_the_board_as_it_was(page: Page, world: World) -> None:
    world.do("moveService", service="Backend", stage=SECOND)
    slider = page.get_by_role("slider", name="Version")
    expect(page.get_by_role("heading", name=", the newest")).to_be_visible()
    expect(stage(page, SECOND)).to_contain_text("Backend, changed")
    newest = int(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name=f"Version {newest - 1} of {newest}")).to_be_visible()
    expect(stage(page, LAST)).to_contain_text("Backend")
    expect(stage(page, SECOND)).to_contain_text("No services")
    expect(page).to_have_url(re.compile(f"at={newest - 1}$"))
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name=f"Version 1 of {newest}")).to_be_visible()
    expect(page.locator(".snapshot")).not_to_contain_text("DB,")
    expect(page).to_have_url(re.compile("at=1$"))
    page.get_by_role("button", name="The version after").click()
    expect(page).to_have_url(re.compile("at=2$"))
    page.reload()
    expect(page.get_by_role("heading", name=f"Version 2 of {newest}")).to_be_visible()
    page.get_by_role("link", name=f"Show version v{newest}").click()
    expect(stage(page, SECOND)).to_contain_text("Backend")
    page.go_back()
    expect(page.get_by_role("heading", name=f"Version 2 of {newest}")).to_be_visible()


def test_any_two_moments_are_compared(page: Page, world: World) -> None:
    world.do("moveService", service="Backend", stage=SECOND)
    deployed = world.server.execute(
        "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }",
        id=world.id,
    )["deploy"]["deployment"]["id"]
    world.do("skipService", service="DB")
    page.reload()
    newest = int(page.get_by_role("slider", name="Version").input_value())
    differences = page.locator(".differences")
    page.get_by_label("compared with", exact=True).select_option("version")
    page.get_by_label("compared with: version").fill(str(newest - 2))
    expect(differences).to_contain_text(f"From version {newest - 2} to version {newest}")
    expect(differences).to_contain_text("Backend")
    expect(differences).to_contain_text("DB")
    page.get_by_role("button", name="Swap").click()
    expect(differences).to_contain_text(f"From version {newest} to version {newest - 2}")
    page.get_by_label("Show", exact=True).select_option("")
    page.get_by_label("compared with", exact=True).select_option(deployed)
    expect(differences).to_contain_text(f"From version {newest - 1} to version {newest}")
    expect(differences.get_by_role("listitem")).to_have_count(1)
    page.get_by_label("compared with", exact=True).select_option("time")
    page.get_by_label("compared with: time").fill("2020-01-01T00:00:00")
    expect(page.get_by_role("alert")).to_contain_text("did not exist at that time")
    page.get_by_label("compared with: time").fill("2120-01-01T00:00:00")
    expect(differences).to_contain_text("Nothing is different.")


def test_a_deployment_leads_to_the_pipeline_that_it_pinned_and_back(open_page: OpenPage, world: World) -> None:
    deployed = world.server.execute(
        "mutation ($id: ID!) { deploy(environment: $id) { ... on DeploymentPayload { deployment { id } } } }",
        id=world.id,
    )["deploy"]["deployment"]["id"]
    world.do("moveService", service="Backend", stage=SECOND)
    page = open_page(f"/deployments/{deployed}")
    page.get_by_role("link", name="of the pipeline").click()
    expect(stage(page, LAST)).to_contain_text("Backend")
    expect(page.get_by_role("heading", name=re.compile(r"Version \d+ of \d+"))).to_be_visible()
    page.get_by_role("link", name="deployed as #1").click()
    expect(page.get_by_role("heading", name="Deployment #1")).to_be_visible()


def test_a_version_is_restored_after_a_dry_run(page: Page, world: World) -> None:
    before = world.order()
    kept = int(page.get_by_role("slider", name="Version").input_value())
    world.do("moveService", service="Backend", stage=SECOND)
    world.do("deleteStage", stage="CONTAINER DEFAULT", servicesTo=FIRST)
    expect(rows(page).first).to_contain_text("deleted")
    menu(page, kept, "Show the board as it was")
    page.get_by_role("button", name="Restore …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="Changes")).to_contain_text("Backend")
    assert "CONTAINER DEFAULT" not in world.order()  # it was a dry run
    dialog.get_by_label("Reason").fill("as it was")
    dialog.get_by_role("button", name="Restore").click()
    expect(dialog).to_have_count(0)
    expect(notices(page)).to_contain_text(f"Version {kept} is restored; it is version")
    expect(page.get_by_role("heading", name=", the newest")).to_be_visible()
    expect(rows(page).first).to_contain_text("as it was")
    assert world.order() == before


def test_a_restore_over_a_change_of_somebody_else_asks_again(page: Page, world: World) -> None:
    newest = int(page.get_by_role("slider", name="Version").input_value())
    page.get_by_role("button", name="The version before").click()
    page.get_by_role("button", name="Restore …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="Changes")).to_contain_text("Frontend")
    world.do("moveService", service="DB", stage=SECOND)
    dialog.get_by_role("button", name="Restore").click()
    expect(dialog.get_by_role("alert").first).to_contain_text("admin: DB moved")
    expect(dialog.get_by_role("list", name="Changes")).to_contain_text("DB")
    assert "DB" in world.order()[SECOND]
    dialog.get_by_role("button", name="Restore").click()
    expect(dialog).to_have_count(0)
    expect(notices(page)).to_contain_text(f"Version {newest - 1} is restored")
    assert world.order()[SECOND] == []


def test_any_change_of_ones_own_is_undone_from_the_history(page: Page, world: World) -> None:
    world.do("moveService", service="DB", stage=SECOND)
    world.do("moveService", service="Backend", stage=SECOND)
    expect(rows(page).first).to_contain_text("Backend moved")
    version = int(page.get_by_role("slider", name="Version").input_value())
    menu(page, version - 1, "Undo this change")
    expect(notices(page)).to_contain_text(f"The change of version {version - 1} is undone.")
    assert world.order()[FIRST] == ["DB"]
    assert world.order()[SECOND] == ["Backend"]
    mutation = f'mutation {{ skipService(environment: "{world.id}", service: "DB") {{ __typename }} }}'
    execute_as(world.server, "robot", "Ada", mutation)
    expect(rows(page).first).to_contain_text("Ada")
    rows(page).first.get_by_role("button").click()
    expect(page.get_by_role("menuitem", name="Compare with the newest")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Undo this change")).to_have_count(0)


def test_an_unknown_moment_is_refused_in_words(open_page: OpenPage, world: World) -> None:
    for at, text in [("9999", "no such moment"), ("deployment_0", "no such moment"), ("soon", "soon")]:
        page = open_page(f"/environments/{world.id}/history?at={at}")
        expect(page.get_by_role("alert")).to_contain_text(text)
        expect(rows(page).filter(has_text="Frontend added")).to_be_visible()


def test_names_of_the_past_are_shown_as_text(open_page: OpenPage, world: World) -> None:
    name = "<img src=x onerror=alert(1)> אבג 🚀"
    world.add(name, "JOB")
    world.do("createStage", name="<b>x</b>")
    page = open_page(f"/environments/{world.id}/history")
    expect(page.locator(".snapshot")).to_contain_text(name)
    expect(page.locator(".snapshot")).to_contain_text("<b>x</b>")
    expect(page.locator("bdi").filter(has_text=name).first).to_be_visible()
    assert page.locator("main img, main b").count() == 0
    expect(card(page, name)).to_have_count(0)
