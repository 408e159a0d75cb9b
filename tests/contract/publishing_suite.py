"""What every ``ports.PublishingStore`` promises; mixed in as ``store_suite`` is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from contract.store_suite import OpenStore, make_collection
from openrdms.model import errors
from openrdms.model.collection import Collection
from openrdms.model.publishing import Application, CommandLine, FileType, Resource, ResourceKind
from openrdms.model.session_host import SessionCollection
from openrdms.ports import Store

DESCRIPTOR = "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-5-32-545)"


def make_application(
    alias: str = "calc", collection: str = "farm", **changes: object
) -> Application:
    application = Application(collection, alias, "Calculator", "/usr/bin/calc", "/usr/bin/calc")
    return replace(application, **changes)  # type: ignore[arg-type]


def make_file_type(
    extension: str = ".ods", application: str = "calc", collection: str = "farm", **changes: object
) -> FileType:
    file_type = FileType(collection, application, extension)
    return replace(file_type, **changes)  # type: ignore[arg-type]


def offered(store: Store) -> list[tuple[str, str]]:
    return [(one.collection, one.application) for one in store.list_feed()]


class PublishingSuite:
    """Needs the fixtures ``open_store``, ``store`` and ``farm`` of the store suite."""

    @pytest.fixture
    def published(self, store: Store, farm: Collection) -> Application:
        return store.create_application(make_application())

    def test_an_application_keeps_every_property_over_a_restart(
        self, open_store: OpenStore, store: Store, farm: Collection
    ) -> None:
        whole = Application(
            collection="farm",
            alias="calc",
            name="Calculator",
            path="/usr/bin/calc",
            virtual_path="/v/calc",
            show_in_portal=False,
            security_descriptor=DESCRIPTOR,
            command_line_setting=CommandLine.REQUIRE,
            required_command_line="--now",
            folder="Office",
            icon_path="/icons/calc.ico",
            icon_index=-3,
            icon=b"\0\1\xff",
        )
        assert store.create_application(replace(whole, collection="FARM")) == whole
        type_ = make_file_type(
            prog_id_hint="Calc.8",
            icon_path="/i",
            icon_index=2,
            icon=b"",
            is_primary_handler=True,
            is_published=True,
        )
        made = store.create_file_type(replace(type_, collection="Farm", application="CALC"))
        assert made == type_
        store.close()
        again = open_store()
        assert again.find_application("FARM", "CALC") == whole
        assert again.find_file_type("FARM", "Calc", ".ODS") == type_

    def test_lists_are_in_order_and_narrowed(self, store: Store, published: Application) -> None:
        store.create_collection(make_collection("barn"))
        other = store.create_application(make_application("zoom", "barn"))
        more = store.create_application(make_application("Base"))
        assert store.list_applications() == [other, more, published]
        assert store.list_applications("FARM") == [more, published]
        assert store.list_applications("none") == []
        types = [
            store.create_file_type(make_file_type(*names))
            for names in ((".a", "zoom", "barn"), (".x", "Base"), (".b", "calc"), (".c", "calc"))
        ]
        assert store.list_file_types() == types
        assert store.list_file_types("farm") == types[1:]
        assert store.list_file_types("FARM", "CALC") == types[2:]

    def test_what_is_there_already_is_refused(self, store: Store, published: Application) -> None:
        store.create_file_type(make_file_type())
        with pytest.raises(errors.AlreadyExists, match="AppAlias"):
            store.create_application(make_application("CALC", "FARM"))
        with pytest.raises(errors.AlreadyExists, match="ExtName"):
            store.create_file_type(make_file_type(".ODS", "CALC", "FARM"))

    def test_what_hangs_on_nothing_is_refused(self, store: Store, published: Application) -> None:
        with pytest.raises(errors.InvalidParameter, match="PoolName"):
            store.create_application(make_application(collection="none"))
        with pytest.raises(errors.InvalidParameter, match="AppAlias"):
            store.create_file_type(make_file_type(application="none"))

    def test_what_is_not_there_is_not_found(self, store: Store, published: Application) -> None:
        assert store.find_application("farm", "none") is None
        assert store.find_file_type("farm", "calc", ".none") is None
        calls: list[Callable[[], None]] = [
            lambda: store.change_application("farm", "none", lambda one: one),
            lambda: store.delete_application("none", "calc"),
            lambda: store.change_file_type("farm", "calc", ".none", lambda one: one),
            lambda: store.delete_file_type("farm", "calc", ".none"),
            lambda: store.rebuild_feed("none"),
        ]
        for call in calls:
            with pytest.raises(errors.NotFound):
                call()

    def test_a_refused_change_leaves_everything(self, store: Store, published: Application) -> None:
        type_ = store.create_file_type(make_file_type())

        def refuse(_: object) -> Application:
            raise errors.InvalidParameter("Folder", "no")

        with pytest.raises(errors.InvalidParameter):
            store.change_application("farm", "calc", refuse)
        with pytest.raises(errors.InvalidParameter):
            store.change_file_type("farm", "calc", ".ods", refuse)  # type: ignore[arg-type]
        assert store.list_applications() == [published]
        assert store.list_file_types() == [type_]

    def test_changes_made_at_once_are_all_kept(self, store: Store, published: Application) -> None:
        def count(application: Application) -> Application:
            return replace(application, icon_index=application.icon_index + 1)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.change_application("farm", "calc", count), range(40)))
        found = store.find_application("farm", "calc")
        assert found is not None
        assert found.icon_index == 40

    def test_file_types_go_with_their_application(
        self, store: Store, published: Application
    ) -> None:
        store.create_application(make_application("base"))
        kept = store.create_file_type(make_file_type(application="base"))
        store.create_file_type(make_file_type())
        store.delete_application("FARM", "CALC")
        assert store.list_file_types() == [kept]

    def test_everything_goes_with_its_collection(
        self, store: Store, published: Application
    ) -> None:
        store.create_session_collection(SessionCollection("rdsh", "Session hosts"))
        store.create_application(make_application(collection="rdsh"))
        store.create_file_type(make_file_type(collection="rdsh"))
        store.create_file_type(make_file_type())
        store.delete_collection("farm")
        assert [one.collection for one in store.list_file_types()] == ["rdsh"]
        assert offered(store) == [("rdsh", "calc")]
        store.delete_session_collection("rdsh")
        assert store.list_applications() == []
        assert store.list_file_types() == []
        assert store.list_feed() == []

    # the feed

    def test_a_collection_offers_its_desktop_or_its_applications(
        self, store: Store, farm: Collection
    ) -> None:
        [desktop] = store.list_feed()
        assert (desktop.kind, desktop.title) == (ResourceKind.DESKTOP, farm.name)
        store.create_application(make_application())
        store.create_application(make_application("base"))
        assert offered(store) == [("farm", "base"), ("farm", "calc")]
        store.delete_application("farm", "base")
        store.delete_application("farm", "calc")
        [again] = store.list_feed()
        assert (again.kind, again.application) == (ResourceKind.DESKTOP, "")

    def test_the_feed_follows_every_source(self, store: Store, published: Application) -> None:
        store.create_session_collection(SessionCollection("rdsh", "Session hosts"))

        def find(collection: str) -> Resource:
            [found] = [one for one in store.list_feed() if one.collection == collection]
            return found

        store.change_collection("farm", lambda one: replace(one, security_descriptor=DESCRIPTOR))
        assert find("farm").descriptors == (DESCRIPTOR,)
        store.change_application("farm", "calc", lambda one: replace(one, name="New", icon=b"i"))
        assert (find("farm").title, find("farm").icon) == ("New", b"i")
        store.create_file_type(make_file_type(is_published=True))
        store.create_file_type(make_file_type(".xls"))
        assert find("farm").file_types == (".ods",)
        store.change_file_type("farm", "calc", ".xls", lambda one: replace(one, is_published=True))
        assert find("farm").file_types == (".ods", ".xls")
        store.delete_file_type("farm", "calc", ".ods")
        assert find("farm").file_types == (".xls",)
        store.change_session_collection("rdsh", lambda one: replace(one, name="Renamed"))
        store.set_session_collection_value("rdsh", "securitydescriptor", DESCRIPTOR)
        assert (find("rdsh").title, find("rdsh").descriptors) == ("Renamed", (DESCRIPTOR,))

    def test_what_stays_the_same_keeps_its_time(self, store: Store, published: Application) -> None:
        store.create_application(make_application("base"))
        base, calc = store.list_feed()
        store.rebuild_feed()
        assert store.list_feed() == [base, calc]
        store.change_application("farm", "base", lambda one: replace(one, name="New"))
        changed, same = store.list_feed()
        assert same == calc
        assert changed.modified > base.modified

    def test_the_desktop_is_not_turned_on_beside_applications(
        self, store: Store, published: Application
    ) -> None:
        store.change_collection("farm", lambda one: replace(one, show_in_portal=True))  # it was
        store.change_collection("farm", lambda one: replace(one, show_in_portal=False))
        with pytest.raises(errors.InvalidOperation, match="ShowInPortal"):
            store.change_collection("farm", lambda one: replace(one, show_in_portal=True))
        store.delete_application("farm", "calc")
        store.change_collection("farm", lambda one: replace(one, show_in_portal=True))
