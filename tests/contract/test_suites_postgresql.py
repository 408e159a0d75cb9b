"""Every suite of the store on PostgreSQL, each test in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.accounts_suite import AccountStoreSuite
from contract.desktop_list_suite import DesktopListSuite
from contract.display_suite import DisplayTicketSuite
from contract.job_list_suite import JobListSuite
from contract.job_use_suite import JobUseSuite
from contract.node_suite import NodeSuite
from contract.notices_suite import NoticesSuite
from contract.pool_suite import PoolSuite
from contract.publishing_suite import PublishingSuite
from contract.rdp_suite import RdpTokenStoreSuite
from contract.reconcile_suite import ReconcileSuite
from contract.repeated_request_suite import RepeatedRequestSuite
from contract.secret_suite import SecretSuite
from contract.session_host_suite import SessionHostSuite
from contract.store_suite import OpenStore, StoreSuite, make_collection
from contract.task_suite import TaskSuite
from contract.user_message_suite import UserMessageStoreSuite
from openrdms.adapters import sql
from openrdms.model.collection import Collection
from openrdms.ports import Store


class OnPostgresql:
    @pytest.fixture
    def open_store(self, postgresql_records: str) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_store() -> Store:
            opened.append(sql.open_store(postgresql_records))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()


class OneStore(OnPostgresql):
    """For suites that ask for no more."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()


class TestStore(OnPostgresql, StoreSuite):
    pass


class TestAccounts(OnPostgresql, AccountStoreSuite):
    pass


class TestDesktopLists(OneStore, DesktopListSuite):
    pass


class TestDisplayTickets(OneStore, DisplayTicketSuite):
    pass


class TestJobLists(OneStore, JobListSuite):
    pass


class TestJobUses(OnPostgresql, JobUseSuite):
    pass


class TestNodes(OnPostgresql, NodeSuite):
    pass


class TestNotices(OneStore, NoticesSuite):
    pass


class TestPools(OnPostgresql, PoolSuite):
    pass


class TestPublishing(OneStore, PublishingSuite):
    @pytest.fixture
    def farm(self, store: Store) -> Collection:
        collection = make_collection()
        store.create_collection(collection)
        return collection


class TestRdpTokens(OnPostgresql, RdpTokenStoreSuite):
    pass


class TestReconciling(OnPostgresql, ReconcileSuite):
    pass


class TestRepeatedRequests(OneStore, RepeatedRequestSuite):
    pass


class TestSecrets(OneStore, SecretSuite):
    pass


class TestSessionHosts(OnPostgresql, SessionHostSuite):
    pass


class TestTasks(OneStore, TaskSuite):
    pass


class TestUserMessages(OnPostgresql, UserMessageStoreSuite):
    pass
