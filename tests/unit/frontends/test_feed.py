"""The feed's list and icons (MS-TSWP), and the cookie."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from contract.accounts_suite import make_account
from openrdms.frontends.web.feed import document, icons
from openrdms.model.account import Account
from openrdms.model.publishing import Resource, ResourceKind
from openrdms.security.feed_cookie import LIFE, FeedCookies

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = etree.XMLSchema(file=Path(__file__).parents[2] / "data" / "tswp-2.1.xsd")
SPACE = {"t": document.NAMESPACE}
DESKTOP = Resource(
    "Office", "", ResourceKind.DESKTOP, "Büro <1>", None, True, None, (), (), "", NOON
)
CALC = Resource(
    "Office", "calc", ResourceKind.APPLICATION, "Calc", "Tools", True, None, (), (".c",), "", NOON
)
texts = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"], exclude_characters="￾￿")
)


def render(resources: Sequence[Resource], version: str = document.NEW) -> etree._Element:
    text = document.render(
        document.Publisher("Work", "rds.example"),
        resources,
        version,
        lambda one, kind: f"https://rds.example/{document.resource_id(one)}.{kind}",
        lambda one: one.icon is None,
    )
    return etree.fromstring(text)


@pytest.mark.parametrize("version", [document.OLD, document.NEW])
@pytest.mark.parametrize("resources", [[], [DESKTOP], [DESKTOP, CALC]])
def test_it_keeps_to_the_schema(version: str, resources: list[Resource]) -> None:
    root = render(resources, version)
    SCHEMA.assertValid(root)
    assert root.get("SchemaVersion") == version
    has_folders = bool(root.xpath("//t:Folders|//t:SubFolders", namespaces=SPACE))
    assert has_folders == (version == document.NEW)


def test_what_it_says_of_an_application() -> None:
    root = render([CALC])
    [found] = root.findall(".//t:Resource", SPACE)
    assert (found.get("Title"), found.get("Type")) == ("Calc", "RemoteApp")
    assert found.find("t:Folders/t:Folder", SPACE).get("Name") == "/Tools"
    assert found.find("t:FileExtensions/t:FileExtension", SPACE).get("Name") == ".c"
    assert found.find(".//t:ResourceFile", SPACE).get("URL").endswith(".rdp")
    assert root.find(".//t:SubFolders/t:Folder", SPACE).get("Name") == "/Tools"


def test_ids_stay_and_differ() -> None:
    ids = {document.resource_id(one) for one in (DESKTOP, CALC)}
    assert len(ids) == 2
    assert document.resource_id(DESKTOP) in ids


@given(texts, texts)
def test_any_title_and_folder_can_be_told(title: str, folder: str) -> None:
    one = Resource("C", "a", ResourceKind.APPLICATION, title, folder, True, None, (), (), "", NOON)
    [found] = render([one]).findall(".//t:Resource", SPACE)
    assert found.get("Title") == title


def test_pictures() -> None:
    png = icons.default_png()
    assert png[16:24] == struct.pack(">II", 32, 32)
    ico = icons.as_ico(None)
    assert (ico[:6], ico[22:]) == (b"\0\0\1\0\1\0", png)
    assert icons.as_ico(ico) == ico
    assert icons.find_png(ico) == icons.find_png(png) == icons.find_png(b"GIF89a") == png
    large = png[:16] + struct.pack(">II", 256, 256) + png[24:]
    assert icons.find_png(large) is None
    assert icons.as_ico(large)[6:8] == b"\0\0", "0 stands for 256"


@given(st.binary(max_size=200).map(lambda rest: b"\0\0\1\0" + rest) | st.binary(max_size=50))
def test_any_icon_is_some_picture(icon: bytes) -> None:
    assert icons.as_ico(icon)[:4] == b"\0\0\1\0"
    icons.find_png(icon)


class Accounts:
    def __init__(self, *accounts: Account) -> None:
        self.all = {account.name.casefold(): account for account in accounts}

    def find(self, name: str) -> Account | None:
        return self.all.get(name.casefold())


def test_a_cookie_is_its_accounts_for_some_hours() -> None:
    now, accounts = [NOON], Accounts(make_account("Ann\nB"), make_account("bob"))
    cookies = FeedCookies(accounts, lambda: now[0])  # type: ignore[arg-type]
    cookie = cookies.issue(accounts.all["ann\nb"])
    assert cookies.find(cookie) is accounts.all["ann\nb"]
    assert FeedCookies(accounts, lambda: NOON).find(cookie) is None  # type: ignore[arg-type]
    now[0] += LIFE - timedelta(seconds=1)
    assert cookies.find(cookie)
    now[0] += timedelta(seconds=1)
    assert cookies.find(cookie) is None


def test_a_new_password_ends_a_cookie() -> None:
    accounts = Accounts(make_account("bob"))
    cookies = FeedCookies(accounts, lambda: NOON)  # type: ignore[arg-type]
    cookie = cookies.issue(accounts.all["bob"])
    accounts.all["bob"] = make_account("bob", password_hash="another")
    assert cookies.find(cookie) is None


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.hex()))
def test_nothing_else_is_a_cookie(text: str) -> None:
    cookies = FeedCookies(Accounts(make_account("bob")), lambda: NOON)  # type: ignore[arg-type]
    assert cookies.find(text) is None
