"""python-dracclient: no Content-Type, mandatory MessageID, pulls while there is a context."""

from collections.abc import Iterator
from typing import Any

import pytest
from dracclient.wsman import Client

from fakes.http_rig import HttpRig, port
from fakes.widgets import Widgets
from fakes.wsman_client import DMTF, MS
from openrdms.model.account import Role

PASSWORD = "only ASCII, as requests wants it"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpRig]:
    widgets = Widgets()
    for number in range(25):
        widgets.add(f"w{number}", number, Text="even" if number % 2 == 0 else "odd")
    rig = HttpRig(tmp_path_factory.mktemp("drac"), widgets)
    rig.accounts.add("drac", Role.ADMINISTRATOR, password=PASSWORD)
    yield rig
    rig.stop()


@pytest.fixture
def client(rig: HttpRig, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("NO_PROXY", "*")
    return Client("127.0.0.1", "drac", PASSWORD, port(rig.http_url), protocol="http", ssl_retries=1)


def items(reply: Any) -> list[Any]:
    return list(reply.find(".//{*}Items"))


@pytest.mark.parametrize("uri", [f"{MS}Test_Widget", f"{MS}*", f"{DMTF}Test_Widget"])
@pytest.mark.parametrize("most", [1, 5, 12, 100])
def test_all_pages_of_a_query(client: Client, uri: str, most: int) -> None:
    reply = client.enumerate(
        uri,
        max_elems=most,
        filter_query="SELECT * FROM Test_Widget WHERE Text = 'EVEN' AND Slot > 2",
        filter_dialect="wql",
    )
    found = [int(item.findtext("{*}Slot")) for item in items(reply)]
    assert found == list(range(4, 25, 2))


def test_a_projection(client: Client) -> None:
    for uri, wrapped in ((f"{MS}Test_Widget", True), (f"{DMTF}Test_Widget", False)):
        reply = client.enumerate(
            uri, filter_query="SELECT Name FROM Test_Widget WHERE Slot=7", filter_dialect="wql"
        )
        (item,) = items(reply)
        assert item.tag.endswith("}XmlFragment") is wrapped
        (child,) = item
        assert child.tag == ("Name" if wrapped else f"{{{uri}}}Name")
        assert child.text == "w7"


def test_everything_and_nothing(client: Client) -> None:
    uri = f"{MS}Test_Widget"
    assert len(items(client.enumerate(uri))) == 25
    none = "SELECT * FROM Test_Widget WHERE Text IS NULL"
    assert items(client.enumerate(uri, filter_query=none, filter_dialect="wql")) == []
