"""The portal in a browser: users and their desktops on the simulator's hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from functional.portal_world import SECRET, PortalWorld, open_portal_world
from live.axe import check_access, check_access_in_both_schemes
from live.chromium import Browse
from live.service import until

PHONE: ViewportSize = {"width": 360, "height": 740}
WIDE: ViewportSize = {"width": 1280, "height": 720}

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalWorld]:
    made = open_portal_world(tmp_path_factory.mktemp("portal"))
    try:
        yield made
    finally:
        made.service.clear()


@pytest.fixture
def user(world: PortalWorld, browse: Browse) -> Browse:
    """``user(name, **context)`` signs somebody in and gives the portal as he sees it."""
    return lambda name, **context: browse(world.service, user=name, password=SECRET, **context)


def tile(page: Page, title: str) -> Locator:
    return page.locator(".tile", has=page.get_by_role("heading", name=title, exact=True))


def connect(page: Page, collection: str) -> None:
    """As another page of the same user would; this one only hears of it."""
    script = """async (collection) => {
      const style = document.querySelector("link[rel=stylesheet]").href;
      const { call } = await import(style.replace("style.css", "api.js"));
      return (await call("POST", "/me/connections", { collection })).desktop;
    }"""
    until("he has it", lambda: page.evaluate(script, collection))


def give_back(world: PortalWorld, desktop: str, user: str) -> None:
    world.log_on(desktop, user)
    world.log_off(desktop, user)
    until("it is fresh", lambda: world.rdms.read("pool", "show", "office")["Ready"] == 1)


def test_users_see_what_is_theirs(user: Browse) -> None:
    page = user("ann")
    expect(page.locator(".tile h3")).to_have_text(["Office"])
    expect(tile(page, "Office")).to_contain_text("Ready")
    check_access(page)
    empty = user("dot")
    expect(empty.locator(".tile")).to_have_count(0)
    expect(empty.locator(".empty")).to_contain_text("Nothing is published to you yet.")
    check_access(empty)


def test_one_click_opens_a_spare(world: PortalWorld, user: Browse) -> None:
    page = user("ann")
    page.get_by_role("button", name="Open: Office").click()
    page.wait_for_url("**/display/office-1*")
    page.goto("/")
    expect(tile(page, "Office")).to_contain_text("Running")
    tile(page, "Office").get_by_text("More").click()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="RDP file").click()
    assert downloaded.value.suggested_filename.endswith(".rdp")
    tile(page, "Office").get_by_text("More").click()
    page.get_by_role("button", name="Start afresh").click()
    expect(page.get_by_role("dialog")).to_contain_text("nothing stays on it")
    check_access(page)
    page.get_by_role("button", name="Start afresh").last.click()
    expect(tile(page, "Office")).to_contain_text("Ready")


def test_who_waits_gets_it_when_another_leaves(world: PortalWorld, user: Browse) -> None:
    bob = user("bob")
    connect(bob, "office")
    world.log_on("office-1", "bob")
    ann, cid = user("ann"), user("cid")
    for number, page in (("Next in line", ann), ("Number 2 in line", cid)):
        page.get_by_role("button", name="Wait for it: Office").click()
        expect(tile(page, "Office")).to_contain_text(number)
        expect(tile(page, "Office")).to_contain_text("All are in use")
        expect(page.get_by_role("status").filter(has_text="Office:")).to_be_attached()
    check_access(ann)
    cid.reload()
    expect(tile(cid, "Office")).to_contain_text("Number 2 in line")
    world.log_off("office-1", "bob")
    ann.wait_for_url("**/display/office-1*")
    expect(tile(cid, "Office")).to_contain_text("Next in line")
    cid.get_by_role("button", name="Wait no more").click()
    expect(cid.get_by_role("button", name="Wait for it: Office")).to_be_visible()
    give_back(world, "office-1", "ann")
    expect(tile(cid, "Office")).to_contain_text("Ready")


def test_a_message_is_shown_until_it_is_read(world: PortalWorld, user: Browse) -> None:
    page = user("bob")
    connect(page, "design")
    world.log_on("design-1", "bob")
    sent = ("session", "message", "--collection", "design", "Tonight", "<b>We restart</b> at ten.")
    until("it is shown", lambda: [row["Result"] for row in world.rdms.read(*sent)] == [0])
    message = page.locator(".message").first
    expect(message).to_contain_text("<b>We restart</b> at ten.")
    check_access(page)
    message.get_by_role("button", name="Mark as read").click()
    expect(page.locator(".message")).to_have_count(0)
    page.reload()
    expect(page.locator(".message")).to_have_count(0)
    expect(page.locator(".older")).to_contain_text("Earlier messages")


def test_the_keyboard_is_enough(user: Browse) -> None:
    page = user("cid")
    expect(page.locator(".tile")).to_have_count(1)
    focus = page.locator(":focus")
    reached: list[str] = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(focus.get_attribute("aria-label") or focus.inner_text())
        if reached[-1] == "More for Office":
            break
    assert [reached[0], *reached[-2:]] == ["Skip to the content", "Open: Office", "More for Office"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="RDP file")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="RDP file")).to_be_hidden()
    expect(focus).to_have_attribute("aria-label", "More for Office")


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=str)
def test_every_page_is_for_everybody(user: Browse, window: ViewportSize) -> None:
    page = user("ann", viewport=window, has_touch=window is PHONE)
    for path in ("/", "/account"):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= window["width"], f"{path} is {width} wide"
        check_access_in_both_schemes(page)


def test_languages(user: Browse) -> None:
    page = user("ann", locale="fr-CA")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mes bureaux")
    assert page.locator("html").get_attribute("lang") == "fr"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My desktops")


def test_an_account_and_its_tokens(user: Browse) -> None:
    page = user("ann", path="/account")
    page.get_by_label("What it is for").fill("backup script")
    page.get_by_role("button", name="Make a token").click()
    secret = page.locator("#secret output")
    expect(secret).to_contain_text("rdms_")
    check_access(page)
    page.get_by_role("button", name="Done").click()
    expect(secret).to_have_text("")
    page.get_by_role("button", name="Remove backup script").click()
    page.get_by_role("button", name="Remove", exact=True).last.click()
    expect(page.locator(".tokens li")).to_have_count(0)
    page.get_by_label("New password").fill(SECRET)
    check_access(page)
    with page.expect_navigation():
        page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My account")
    page.get_by_label("What it is for").fill("another script")  # by the session that is new
    page.get_by_role("button", name="Make a token").click()
    expect(secret).to_contain_text("rdms_")
