"""What every store tells of its changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contract.store_suite import make_collection, make_desktop, make_image, make_job, make_plan
from openrdms.model import errors
from openrdms.model.account import Account, Role
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.host import HostSettings
from openrdms.model.job import VmStatus
from openrdms.model.web_session import ApiToken, Scope, WebSession
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Heard:
    """What a store has told since it was last asked for."""

    def __init__(self, store: Store) -> None:
        self._told: list[tuple[Kind, str]] = []
        store.subscribe(self._hear)

    def take(self) -> set[tuple[Kind, str]]:
        told, self._told = self._told, []
        assert len(told) == len(set(told)), "the same thing twice in one commit"
        return set(told)

    def _hear(self, kind: Kind, keys: Sequence[str]) -> None:
        self._told += [(kind, key) for key in keys]


class NoticesSuite:
    """Adapters give ``store``."""

    @pytest.fixture
    def heard(self, store: Store) -> Heard:
        return Heard(store)

    def test_collections(self, store: Store, heard: Heard) -> None:
        store.create_collection(make_collection("Farm"))
        assert heard.take() == {(Kind.COLLECTION, "Farm")}
        store.change_collection("farm", lambda one: replace(one, description="new"))
        assert heard.take() == {(Kind.COLLECTION, "Farm")}
        store.set_property("farm", "Key", 1)
        assert heard.take() == {(Kind.COLLECTION, "Farm")}
        store.delete_collection("farm")
        assert heard.take() == {(Kind.COLLECTION, "Farm")}

    def test_desktops_and_their_uses(self, store: Store, heard: Heard) -> None:
        store.put_desktops([make_desktop("One"), make_desktop("two")])
        assert heard.take() == {(Kind.DESKTOP, "One"), (Kind.DESKTOP, "two")}
        store.change_uses(["one", "TWO"], lambda use: replace(use, use=Use.READY))
        assert heard.take() == {(Kind.DESKTOP, "One"), (Kind.DESKTOP, "two")}
        taken = store.take_ready("farm", "alice", NOW)
        assert taken
        assert heard.take() == {(Kind.DESKTOP, taken.name)}
        store.change_desktop("One", lambda _: None)
        assert heard.take() == {(Kind.DESKTOP, "One")}

    def test_a_job_from_beginning_to_end(self, store: Store, heard: Heard) -> None:
        store.create_collection(make_collection("farm"))
        heard.take()
        job = make_job()
        store.accept_job(job)
        both = {(Kind.COLLECTION, "farm"), (Kind.JOB, job.guid)}
        assert heard.take() == both
        (row,) = store.add_job_desktops(make_plan(job, "vd-1"), None)
        assert heard.take() == {(Kind.JOB, job.guid)}
        done = replace(row, status=VmStatus.COMPLETE)
        record = replace(make_desktop("vd-1"), uuid=row.uuid)
        store.put_job_desktops([done], NOW, records=[record], marks={"vd-1": "mark"})
        assert heard.take() == {(Kind.JOB, job.guid), (Kind.DESKTOP, "vd-1")}
        store.request_cancel(job.guid, NOW)
        assert heard.take() == both | {(Kind.CANCEL, job.guid)}
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", NOW, cancel_seen=True)
        assert heard.take() == both | {(Kind.DESKTOP, "vd-1")}

    def test_images(self, store: Store, heard: Heard) -> None:
        image = store.add_image(make_image("tiny"))
        assert heard.take() == {(Kind.IMAGE, "tiny@1")}
        store.remove_image(image)
        assert heard.take() == {(Kind.IMAGE, "tiny@1")}

    def test_hosts(self, store: Store, heard: Heard) -> None:
        store.change_host_settings("host1", lambda _: HostSettings(concurrency=3))
        assert heard.take() == {(Kind.HOST, "host1")}

    def test_accounts_and_what_was_handed_out_to_them(self, store: Store, heard: Heard) -> None:
        flags = {"ntlm": False, "enabled": True, "from_options": False}
        account = Account(
            "Ann", store.account_sid("Ann"), "", Role.USER, (), **flags, created=NOW, changed=NOW
        )
        ann = {(Kind.ACCOUNT, "ann")}
        store.put_account(account)
        assert heard.take() == ann
        session = WebSession("hash", "Ann", "proof", "csrf", "address", NOW, NOW, NOW)
        store.put_web_session(session)
        store.touch_web_session("hash", NOW)
        assert heard.take() == set()
        store.delete_web_sessions(used_before=NOW)
        assert heard.take() == set()
        store.delete_web_session("hash")
        assert heard.take() == ann
        store.put_api_token(ApiToken("id", "other", "Ann", "name", (Scope.READ,), NOW, None))
        assert heard.take() == set()
        assert store.delete_api_token("id")
        assert heard.take() == ann
        store.confirm_accounts(["ANN"], NOW)
        assert heard.take() == ann
        store.delete_account("ann")
        assert heard.take() == ann

    def test_what_others_are_told_has_changed_nothing(self, store: Store, heard: Heard) -> None:
        store.tell_others(Kind.POOL, ["farm"])
        assert heard.take() == set()

    def test_what_was_refused_has_changed_nothing(self, store: Store, heard: Heard) -> None:
        store.create_collection(make_collection("farm"))
        heard.take()
        with pytest.raises(errors.AlreadyExists):
            store.create_collection(make_collection("FARM"))
        with pytest.raises(errors.NotFound):
            store.set_property("nothing", "Key", 1)
        assert heard.take() == set()

    def test_it_is_so_already_when_it_is_told(self, store: Store) -> None:
        seen: list[bool] = []
        store.subscribe(lambda _kind, _keys: seen.append(True))
        store.create_collection(make_collection("farm"))
        assert seen == [True]
        assert store.find_collection("farm")
