"""What every store promises of lists of desktops."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from contract.store_suite import make_desktop
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_list import DesktopQuery, UseCount
from openrdms.model.desktop_use import Use
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def desktop(name: str, collection: str, host: str = "host1", **changes: object) -> Desktop:
    return replace(make_desktop(name, collection), host=host, uuid=uuid4(), **changes)


class DesktopListSuite:
    """Adapters give ``store``."""

    @pytest.fixture
    def full(self, store: Store) -> Store:
        store.put_desktops(
            [
                desktop("Vd-1", "farm"),
                desktop("vd-2", "Farm", "Host2"),
                desktop("vd_3", "other"),
                desktop("VD-4", "other", user="Carol", user_domain="CORP"),
                desktop("straße", "other", "host2"),
            ]
        )
        store.change_uses(["vd-1", "vd-2"], lambda use: replace(use, use=Use.READY))
        store.take_ready("farm", "CORP\\Alice", NOW, away=["host1"])
        return store

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            (DesktopQuery(), ["straße", "Vd-1", "vd-2", "VD-4", "vd_3"]),
            (DesktopQuery(collection="FARM"), ["Vd-1", "vd-2"]),
            (DesktopQuery(host="HOST2"), ["straße", "vd-2"]),
            (DesktopQuery(use=Use.READY), ["Vd-1"]),
            (DesktopQuery(use=Use.TAKEN, collection="farm"), ["vd-2"]),
            (DesktopQuery(search="D-"), ["Vd-1", "vd-2", "VD-4"]),
            (DesktopQuery(search="_"), ["vd_3"]),
            (DesktopQuery(search="%"), []),
            (DesktopQuery(search="STRASSE"), ["straße"]),
            (DesktopQuery(search="ALICE"), ["vd-2"]),
            (DesktopQuery(search="corp\\carol"), ["VD-4"]),
            (DesktopQuery(collection="nothing"), []),
        ],
    )
    def test_conditions(self, full: Store, query: DesktopQuery, names: list[str]) -> None:
        assert [row.name for row in full.list_rows(query, "", 100)] == names
        assert full.count_rows(query) == len(names)

    def test_pages_follow_each_other(self, full: Store) -> None:
        first = full.list_rows(DesktopQuery(), "", 2)
        second = full.list_rows(DesktopQuery(), first[-1].key, 2)
        third = full.list_rows(DesktopQuery(), second[-1].key, 2)
        names = [row.name for row in (*first, *second, *third)]
        assert names == ["straße", "Vd-1", "vd-2", "VD-4", "vd_3"]
        assert full.list_rows(DesktopQuery(), third[-1].key, 2) == []

    def test_a_row_has_the_record_and_its_use(self, full: Store) -> None:
        row = full.find_row("VD-2")
        use, record = full.find_use("vd-2"), full.find_desktop("vd-2")
        assert row
        assert use
        assert record
        for name in ("name", "host", "collection", "image", "status", "user", "adopted"):
            assert getattr(row, name) == getattr(record, name), name
        for name in ("use", "since", "holder", "seen", "saved", "claim", "failures", "reason"):
            assert getattr(row, name) == getattr(use, name), name
        assert full.find_row("nothing") is None

    def test_tally(self, full: Store) -> None:
        assert sorted(full.tally_uses()) == [
            UseCount("Farm", "Host2", Use.TAKEN, 1),
            UseCount("farm", "host1", Use.READY, 1),
            UseCount("other", "host1", Use.UNREADY, 2),
            UseCount("other", "host2", Use.UNREADY, 1),
        ]
