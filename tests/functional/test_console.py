"""The console in a browser, on a simulated cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from live.axe import check_access, check_access_in_both_schemes
from live.browser import WebClient, csrf_of
from live.chromium import Browse
from live.service import PASSWORD, USER, Service, until
from openrdms.adapters.simulator import controls, truth

expect.set_options(timeout=60_000)

HOST = "host1.sim.local"
CREW = ("crew-1", "crew-2", "crew-3")


class Administrator(WebClient):
    """Asks the REST API as the console's scripts do."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.sign_in(USER, PASSWORD)
        self.headers["x-csrf-token"] = csrf_of(self.get("/console").text)
        return self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers; it must be a success."""
        reply = self.request(method, f"/api/v1{path}", json=body)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("console") / "hosts"


@pytest.fixture(scope="module")
def service(cluster: Path) -> Iterator[Service]:
    """With a collection of three desktops, on each of which alice is logged on."""
    running = Service(cluster.parent / "state", f"simulator://{cluster}?hosts=2&boot_ms=50")
    try:
        running.start()
        with Administrator(running) as administrator:
            administrator.ask("POST", "/collections", {"alias": "crew", "name": "Crew"})
            _make_crew(administrator)
        yield running
    finally:
        running.clear()


def _make_crew(administrator: Administrator) -> None:
    job = {"action": "create", "collection": "crew", "image": "image:tiny@1"}
    named = {"name_prefix": "crew-", "hosts": [{"host": HOST, "count": len(CREW)}]}
    guid = administrator.ask("POST", "/jobs", job | named)["guid"]
    until("the job ends", lambda: administrator.ask("GET", f"/jobs/{guid}")["ended"])


@pytest.fixture
def administrator(service: Service) -> Iterator[Administrator]:
    with Administrator(service) as client:
        yield client


def test_a_collection_is_made_by_the_wizard_and_its_job_cancelled(
    tmp_path: Path, browse: Browse
) -> None:
    slow = Service(tmp_path / "state", f"simulator://{tmp_path}/hosts?hosts=2&boot_ms=600000")
    try:
        slow.start()
        page = browse(slow, "/console/collections/new")
        _fill_wizard(page)
        page.get_by_role("button", name="Create the collection").click()
        page.wait_for_url("**/console/jobs/*")
        expect(
            page.get_by_role("progressbar").or_(page.locator("#job .figure")).first
        ).to_be_visible()
        expect(page.locator("#desktops")).to_contain_text("desk-6")
        expect(page.locator("#desktops")).to_contain_text("started")  # and no guest answers
        page.get_by_role("button", name="Cancel the job").click()
        page.locator("#ask").get_by_role("button", name="Cancel the job").click()
        expect(page.locator("#job .lamp").first).to_have_text("Cancelled")
        page.goto("/console/desktops")
        expect(page.locator("#desktops")).to_contain_text("There are no desktops yet")
    finally:
        slow.clear()


def _fill_wizard(page: Page) -> None:
    """Up to the plan, with a mistake on the way."""
    page.get_by_label("As users see it.").fill("Désk")
    forward = page.get_by_role("button", name="Next")
    forward.click()
    expect(page.locator("#collection-alias")).to_have_value("Desk")
    page.get_by_label("Names begin with").fill("desk-")
    page.get_by_label("How many").fill("1000000")
    forward.click()
    expect(page.get_by_text("What would happen now")).to_be_hidden()
    page.get_by_label("How many").fill("6")
    forward.click()
    expect(page.locator("[data-plan-shown]")).to_contain_text("6 desktops on 2 hosts")


def test_a_message_to_chosen_sessions(service: Service, browse: Browse, cluster: Path) -> None:
    page = browse(service, "/console/sessions")
    for name in CREW[:2]:
        page.get_by_label(f"Choose alice · {name}").check()
    controls.log_on(cluster, HOST, CREW[2], "bob")
    page.get_by_label(
        f"Choose bob · {CREW[2]}"
    ).wait_for()  # the list is anew, the choice as it was
    page.get_by_role("button", name="Message").click()
    page.get_by_label("Title").fill("Tonight")
    page.get_by_label("Text").fill("The service stops at eight.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#results li .lamp[data-tone=good]")).to_have_count(2)
    assert _read_messages(cluster) == {name: ["Tonight"] for name in CREW[:2]} | {CREW[2]: []}


def _read_messages(cluster: Path) -> dict[str, list[str]]:
    """Titles of what is on the screens, by desktop."""
    return {
        vm["name"]: [shown["title"] for one in vm["sessions"] for shown in one["messages"]]
        for host in truth.read_state(cluster)["hosts"]
        for vm in host["vms"]
    }


def test_each_session_has_its_own_result(service: Service, browse: Browse, cluster: Path) -> None:
    controls.log_on(cluster, HOST, CREW[0], "carol")
    page = browse(service, "/console/sessions")
    page.get_by_label(f"Choose carol · {CREW[0]}").check()
    page.get_by_role("button", name="Disconnect").click()
    controls.log_off(cluster, HOST, CREW[0], "carol")
    page.locator("#ask").get_by_role("button", name="Disconnect").click()
    expect(page.locator("#results .lamp[data-tone=bad]")).to_have_text(f"carol · {CREW[0]}")
    expect(page.locator("#results .hint")).to_contain_text("has ended")


def test_what_changes_shows_without_a_reload(
    service: Service, browse: Browse, administrator: Administrator
) -> None:
    page = browse(service, "/console/hosts")
    page.evaluate("window.isTheSame = true")
    row = page.locator(f'tr[data-key="{HOST}"]')
    expect(row).to_contain_text("As it sees fit")
    administrator.ask("PATCH", f"/hosts/{HOST}", {"concurrency": 7})
    expect(row).to_contain_text("7")
    administrator.ask("PATCH", f"/hosts/{HOST}", {"concurrency": None})
    expect(row).to_contain_text("As it sees fit")
    assert page.evaluate("window.isTheSame")


def test_a_host_that_goes_away_is_told_with_its_reason(
    service: Service, browse: Browse, cluster: Path
) -> None:
    page = browse(service, "/console")
    controls.set_fault(cluster, "host2.sim.local", fault="down")
    try:
        trouble = page.locator("#troubles .notice").filter(has_text="host2.sim.local")
        expect(trouble).to_be_visible()
        assert len(trouble.inner_text().splitlines()) > 1
    finally:
        controls.set_fault(cluster, "host2.sim.local")
    expect(page.locator("#troubles .notice").filter(has_text="host2")).to_have_count(0)


def test_what_is_refused_shows_at_its_field(service: Service, browse: Browse) -> None:
    page = browse(service, "/console/users")
    page.get_by_role("button", name="New user").click()
    dialog = page.locator("#new-user")
    dialog.get_by_label("Name").first.fill("dora")
    dialog.get_by_label("Password").fill("short")
    dialog.get_by_role("button", name="Create").click()
    password = dialog.locator("[name=password]")
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(dialog.locator(".field-error")).to_contain_text("at least")
    password.fill("long enough")
    dialog.get_by_role("button", name="Create").click()
    expect(page.locator("#users")).to_contain_text("dora")


def test_a_search_is_in_the_address(service: Service, browse: Browse) -> None:
    page = browse(service, "/console/desktops")
    page.get_by_label("Name or user").fill("crew-2")
    expect(page.locator("#desktops tbody tr")).to_have_count(1)
    assert "search=crew-2" in page.url
    page.reload()
    expect(page.locator("#desktops tbody tr")).to_have_count(1)


def test_images_are_imported_and_compared(service: Service, browse: Browse, tmp_path: Path) -> None:
    page = browse(service, "/console/images")
    for number, packaged in enumerate(("8.14", "8.15"), start=1):
        page.get_by_role("button", name="Import").click()
        dialog = page.locator("#import")
        dialog.get_by_label("Name").fill("office")
        dialog.get_by_label("File on the service's machine").fill(
            str(_make_disk(tmp_path, packaged))
        )
        dialog.get_by_label("System").select_option("linux")
        check_access(page)
        dialog.get_by_role("button", name="Import").click()
        expect(page.locator(f'#images tr[data-key="office@{number}"]')).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    dialog = page.locator("#compare")
    dialog.get_by_label("Before").select_option("office@1")
    dialog.get_by_label("After").select_option("office@2")
    check_access(page)
    dialog.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/console/tasks/*")
    expect(page.locator(".rail [aria-current]")).to_have_text("Images")
    expect(page.locator("#task tr").filter(has_text="curl")).to_contain_text("8.15")
    expect(page.locator("#task tr").filter(has_text="/etc/motd")).to_be_visible()
    check_access(page)
    page.set_viewport_size(_PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check_access(page)


def _make_disk(place: Path, version: str) -> Path:
    """A disk with an ext4 file system, on which dpkg has one package of that version."""
    tree, disk = place / version, place / f"{version}.raw"
    status, motd = tree / "var/lib/dpkg/status", tree / "etc/motd"
    for file in (status, motd):
        file.parent.mkdir(parents=True)
    status.write_text(
        f"Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
    )
    motd.write_text(f"{'.' * int(version[-1])}\n")  # another size
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, "8M"], check=True)
    return disk


def test_the_help_desk_sees_its_own_pages(
    service: Service, browse: Browse, administrator: Administrator
) -> None:
    new = {"name": "helga", "role": "helpdesk", "password": PASSWORD}
    administrator.ask("POST", "/users", new)
    page = browse(service, "/console", user="helga")
    page.wait_for_url("**/console/sessions")
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["Sessions"]
    watch = page.locator("#sessions tr").filter(has_text=CREW[0]).get_by_role("link")
    expect(watch).to_have_text("Watch the screen")
    page.get_by_label("Screens").check()
    shown = page.locator("#sessions .tile img").first
    expect(shown).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 0", arg=shown.element_handle())
    assert page.goto("/console/hosts").status == 403  # type: ignore[union-attr]  # it has a reply
    expect(page.locator("h1")).to_have_text("Forbidden")


def test_an_auditor_has_nothing_to_press(
    service: Service, browse: Browse, administrator: Administrator
) -> None:
    new = {"name": "audrey", "role": "auditor", "password": PASSWORD}
    administrator.ask("POST", "/users", new)
    page = browse(service, "/console/collections/crew", user="audrey")
    expect(page.locator("[data-call], [data-opens]")).to_have_count(0)


def test_users_have_no_console(service: Service, administrator: Administrator) -> None:
    administrator.ask("POST", "/users", {"name": "ulla", "role": "user", "password": PASSWORD})
    with WebClient(service) as client:
        client.sign_in("ulla", PASSWORD)
        assert client.get("/console").status_code == 403


def test_a_region_is_answered_alone(administrator: Administrator) -> None:
    part = administrator.get("/console", headers={"x-part": "uses"}).text
    assert 'id="uses"' in part
    assert "<html" not in part
    assert 'id="hosts"' not in part


def test_the_choice_of_colours_stays(service: Service, browse: Browse) -> None:
    page = browse(service, "/console", color_scheme="light")
    page.get_by_role("button", name="Dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


_WIDE: ViewportSize = {"width": 1280, "height": 720}
_PHONE: ViewportSize = {"width": 390, "height": 844}
PAGES = (
    *("/console", "/console/collections", "/console/collections/crew", "/console/collections/new"),
    *("/console/desktops", "/console/desktops/crew-1", "/console/sessions", "/console/jobs"),
    *("/console/sessions?view=screens", "/console/hosts", f"/console/hosts/{HOST}"),
    *("/console/images", "/console/audit", f"/console/users/{USER}", "/console/settings"),
)


def test_every_page_is_for_everybody(
    service: Service, browse: Browse, administrator: Administrator
) -> None:
    page = browse(service, "/console")
    job = administrator.ask("GET", "/jobs")["items"][0]["guid"]
    for path in (*PAGES, f"/console/jobs/{job}"):
        page.goto(path)
        for window in (_WIDE, _PHONE):
            page.set_viewport_size(window)
            check_access_in_both_schemes(page)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} px wider than the window"
