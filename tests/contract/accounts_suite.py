"""What every store must do about accounts and the audit log (ports.AccountStore, AuditStore)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from contract.store_suite import OpenStore
from openrdms.model import errors
from openrdms.model.account import Account, Role
from openrdms.model.audit import AuditedCall, AuditHead, AuditQuery, AuditRecord, chain, follow
from openrdms.model.rdp_token import RdpToken
from openrdms.model.second_factor import SecondFactor
from openrdms.model.web_session import ApiToken, WebSession
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)
RDMS = "root/cimv2/rdms"


def make_account(name: str, sid: str = "S-1-5-21-1-2-3-1000", **changes: object) -> Account:
    account = Account(
        name, sid, "$argon2id$", Role.OPERATOR, ("Ops",), ntlm=True, enabled=True,
        from_options=True, created=NOW, changed=NOW,
    )  # fmt: skip
    return replace(account, **changes)  # type: ignore[arg-type]


def make_record(who: str = "alice", **changes: object) -> AuditRecord:
    record = AuditRecord(
        sequence=0, time=NOW, who=who, address="127.0.0.1", what=f"{RDMS}/Win32_A/Set",
        on={"Alias": "farm"}, parameters={"Key": "k", "Value": 3, "On": True, "No": None},
        result="asked", reason="", of=None,
    )  # fmt: skip
    return replace(record, **changes)  # type: ignore[arg-type]


class AccountStoreSuite:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    def test_an_account_comes_back_as_it_was(self, store: Store) -> None:
        account = make_account("Ünicode", password_hash="", groups=())
        store.put_account(account)
        assert store.list_accounts() == [account]

    def test_an_account_is_replaced_by_name_ignoring_case(self, store: Store) -> None:
        before = make_account("ÄRGER")
        store.put_account(before)
        changed = make_account("ärger", role=Role.AUDITOR, enabled=False)
        assert store.put_account(changed, before)
        assert store.list_accounts() == [changed]

    def test_what_somebody_else_has_changed_meanwhile_stays(self, store: Store) -> None:
        before, changed = make_account("Ann"), make_account("Ann", role=Role.AUDITOR)
        assert store.put_account(before)
        assert not store.put_account(changed)  # as a new one
        assert store.put_account(changed, before)
        assert not store.put_account(make_account("Ann", enabled=False), before, revoke=True)
        assert store.list_accounts() == [changed]
        store.delete_account("Ann")
        assert not store.put_account(before, changed)
        assert store.list_accounts() == []

    def test_one_of_many_changes_an_account(self, store: Store) -> None:
        before = make_account("Ann")
        store.put_account(before)
        changes = [replace(before, sid=f"{before.sid}{number}") for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            written = list(threads.map(lambda one: store.put_account(one, before), changes))
        assert [one for one, done in zip(changes, written, strict=True) if done] == (
            store.list_accounts()
        )

    def test_two_administrators_who_end_each_other_at_once_leave_one(self, store: Store) -> None:
        def remove(name: str) -> None:
            store.delete_account(name)

        def demote(name: str) -> None:
            changed = make_account(name, sids[name])
            store.put_account(changed, before[name], leave_administrator=True)

        sids = {"Ann": "S-1-5-21-1-2-3-1000", "Bob": "S-1-5-21-1-2-3-1001"}
        before = {name: make_account(name, sids[name], role=Role.ADMINISTRATOR) for name in sids}
        off = make_account("Off", "S-1-5-21-1-2-3-1002", role=Role.ADMINISTRATOR, enabled=False)
        store.put_account(off)
        for end in (remove, demote):
            for name, account in before.items():
                known = {one.name: one for one in store.list_accounts()}
                store.put_account(account, known.get(name))
            with ThreadPoolExecutor(2) as threads:
                ends = [threads.submit(end, name) for name in sids]
            refusals = [str(error) for one in ends if (error := one.exception())]
            [name] = [one.name for one in store.list_accounts() if one in before.values()]
            assert refusals == [f"{name!r} is the last enabled administrator"]

    def test_the_last_administrator_may_be_changed_otherwise(self, store: Store) -> None:
        before = make_account("Ann", role=Role.ADMINISTRATOR)
        store.put_account(before)
        changed = replace(before, groups=())
        assert store.put_account(changed, before, leave_administrator=True)
        with pytest.raises(errors.InvalidOperation, match="last enabled administrator"):
            store.put_account(
                replace(changed, enabled=False), changed, revoke=True, leave_administrator=True
            )
        with pytest.raises(errors.InvalidOperation, match="last enabled administrator"):
            store.delete_account("ann")
        assert store.list_accounts() == [changed]

    def test_what_a_directory_says_comes_back(self, store: Store) -> None:
        account = make_account(
            "ann", source="corp", external_id="e-1", directory_groups=("corp\\Ops", "corp\\VDI"),
            directory_sids=("S-1-5-21-9-9-9-1", "S-1-5-21-9-9-9-2"),
        )  # fmt: skip
        store.put_account(account)
        assert store.list_accounts() == [account]

    def test_what_a_directory_confirmed_outlives_changes_of_the_account(self, store: Store) -> None:
        store.put_account(make_account("Ann"))
        assert store.list_confirmations() == {}
        store.confirm_accounts(["ANN"], NOW)
        assert store.put_account(make_account("Ann", role=Role.AUDITOR), make_account("Ann"))
        assert store.list_confirmations() == {"Ann": NOW}
        store.confirm_accounts(["Ann"], None)
        store.confirm_accounts([], NOW)
        assert store.list_confirmations() == {}

    def test_a_second_factor_goes_with_its_account(self, store: Store) -> None:
        store.put_account(make_account("Ann"))
        factor = SecondFactor("Ann", "sealed", 7, ("a", "b"), NOW)
        assert store.add_second_factor(factor)
        assert not store.add_second_factor(replace(factor, secret="another"))
        assert (store.find_second_factor("ann"), store.list_second_factors()) == (factor, [factor])
        store.delete_account("ann")
        assert (store.find_second_factor("ann"), store.list_second_factors()) == (None, [])

    def test_no_time_step_is_taken_twice(self, store: Store) -> None:
        store.put_account(make_account("Ann"))
        store.add_second_factor(SecondFactor("Ann", "sealed", 7, (), NOW))
        taken = [store.use_time_step("ann", step) for step in (7, 8, 8, 6, 9)]
        assert taken == [False, True, False, False, True]

    def test_a_recovery_code_is_good_once(self, store: Store) -> None:
        store.put_account(make_account("Ann"))
        store.add_second_factor(SecondFactor("Ann", "sealed", 7, ("a", "b"), NOW))
        assert [store.use_recovery_code("ann", code) for code in "xaab"] == [
            False,
            True,
            False,
            True,
        ]
        store.delete_second_factor("Ann")
        assert not store.use_recovery_code("ann", "a")

    def test_what_was_handed_out_is_taken_back_with_a_reset(self, store: Store) -> None:
        for number, name in enumerate(["Ann", "bob"]):
            store.put_account(make_account(name, f"S-1-5-21-1-2-3-{number}"))
            store.put_web_session(
                WebSession(f"s{name}", name, "proof", "csrf", "192.0.2.1", NOW, NOW, NOW)
            )
            store.put_api_token(ApiToken(name, f"a{name}", name, "night", ("read",), NOW, None))
            store.put_rdp_token(RdpToken(f"r{name}", name, "pool", NOW, LATER), 10)
        before = make_account("Ann", "S-1-5-21-1-2-3-0")
        assert store.put_account(replace(before, name="ANN"), before, revoke=True)
        left = [
            (store.find_web_session(f"s{name}"), store.find_api_token(f"a{name}"))
            for name in ("Ann", "bob")
        ]
        assert left[0] == (None, None)
        assert None not in left[1]
        assert store.find_rdp_token("rAnn") is None
        assert store.find_rdp_token("rbob")

    def test_accounts_are_listed_by_name(self, store: Store) -> None:
        for number, name in enumerate(["carol", "Bob", "alice"]):
            store.put_account(make_account(name, f"S-1-5-21-1-2-3-{number}"))
        assert [account.name for account in store.list_accounts()] == ["alice", "Bob", "carol"]

    def test_two_accounts_never_have_one_sid(self, store: Store) -> None:
        store.put_account(make_account("alice"))
        with pytest.raises(errors.InvalidOperation):
            store.put_account(make_account("bob"))

    def test_a_deleted_account_is_gone(self, store: Store) -> None:
        store.put_account(make_account("alice"))
        store.delete_account("ALICE")
        store.delete_account("ALICE")
        assert store.list_accounts() == []

    def test_a_sid_stays_with_its_name(self, store: Store, open_store: OpenStore) -> None:
        sid = store.account_sid("Alice")
        assert re.fullmatch(r"S-1-5-21-\d+-\d+-\d+-1000", sid)
        assert store.account_sid("alice") == sid
        store.close()
        assert open_store().account_sid("ALICE", built_in=True) == sid

    def test_sids_of_a_deployment_differ_in_their_last_number(self, store: Store) -> None:
        sids = [store.account_sid("a"), store.group_sid("b"), store.account_sid("c")]
        assert len({sid.rpartition("-")[0] for sid in sids}) == 1
        assert [sid.rpartition("-")[2] for sid in sids] == ["1000", "1001", "1002"]

    def test_two_deployments_have_different_sids(self, open_store: OpenStore) -> None:
        with pytest.MonkeyPatch.context() as patch:
            given: list[int] = []
            patch.setattr("secrets.randbits", lambda bits: given.append(bits) or 7)
            assert open_store().account_sid("a") == "S-1-5-21-7-7-7-1000"
        assert given == [32, 32, 32]

    def test_only_one_account_is_the_built_in_administrator(self, store: Store) -> None:
        assert store.account_sid("first", built_in=True).endswith("-500")
        assert store.account_sid("second", built_in=True).endswith("-1000")
        assert store.account_sid("first", built_in=True).endswith("-500")

    def test_a_name_is_an_accounts_or_a_groups_for_ever(self, store: Store) -> None:
        store.account_sid("alice")
        store.group_sid("ops")
        with pytest.raises(errors.AlreadyExists, match="an account"):
            store.group_sid("ALICE")
        with pytest.raises(errors.AlreadyExists, match="a group"):
            store.account_sid("OPS")

    def test_records_come_back_as_they_were(self, store: Store) -> None:
        assert store.last_audit() is None
        assert store.list_audit() == []
        records = chain(
            b"key", AuditHead(), [make_record("ÄLICE \\ud800"), make_record(of=1, result="0")]
        )
        store.append_audit(records)
        assert store.list_audit() == records
        assert store.last_audit() == records[-1]

    def test_records_are_read_in_pages(self, store: Store) -> None:
        records = chain(b"key", AuditHead(), [make_record() for _ in range(5)])
        store.append_audit(records[:3])
        store.append_audit(records[3:])
        assert store.list_audit(after=1, limit=2) == records[1:3]
        assert store.list_audit(after=5) == []

    def test_a_gap_does_not_end_the_pages(self, store: Store) -> None:
        first, *_, last = chain(b"key", AuditHead(), [make_record()] * 9)
        store.append_audit([first, last])
        assert store.list_audit(after=1, limit=2) == [last]
        assert store.list_audit(limit=2) == [first]

    def test_calls_without_an_end_are_found(self, store: Store) -> None:
        others = [make_record(of=1, result="0"), make_record(result="denied")]
        records = chain(b"key", AuditHead(), [make_record(), make_record("bob"), *others])
        store.append_audit(records)
        assert store.list_unanswered_audit() == [records[1]]

    def test_calls_that_another_service_has_open_are_its_own(self, store: Store) -> None:
        store.chain_audit(lambda head: chain(b"key", head, [make_record()]), "a1")
        (first,) = store.list_audit()
        (second,) = store.chain_audit(lambda head: chain(b"key", head, [make_record()]), "b2")
        assert second.sequence == 2
        assert store.list_unanswered_audit("a1") == [first]
        assert store.list_unanswered_audit("b2") == [second]
        assert store.list_unanswered_audit() == []

    def test_several_services_write_one_chain(self, open_store: OpenStore) -> None:
        def write(store: Store, service: str) -> None:
            for number in range(20):
                batch = [make_record(f"{service}-{number}")] * (1 + number % 3)
                store.chain_audit(partial(chain, b"key", records=batch), service)

        stores = [open_store() for _ in range(3)]
        with ThreadPoolExecutor() as threads:
            for done in [threads.submit(write, store, str(n)) for n, store in enumerate(stores)]:
                done.result()
        records = stores[0].list_audit()
        assert follow(b"key", AuditHead(), records) == (
            AuditHead(len(records), records[-1].hash),
            "",
        )
        for service in "012":
            names = [one.who for one in records if one.who.startswith(service)]
            assert list(dict.fromkeys(names)) == [f"{service}-{n}" for n in range(20)]

    def test_a_sequence_is_used_once(self, store: Store) -> None:
        records = chain(b"key", AuditHead(), [make_record()])
        store.append_audit(records)
        with pytest.raises(errors.InvalidOperation):
            store.append_audit(records)

    def test_calls_are_found_with_their_results(self, store: Store) -> None:
        records = chain(
            b"key",
            AuditHead(),
            [
                make_record("alice"),
                make_record("bob", what=f"{RDMS}/Win32_AB/Set"),
                make_record("alice", of=1, result="0"),
                make_record("carol", what="sign in/Basic", result="denied"),
                make_record("ALICE", time=NOW + timedelta(hours=1)),
            ],
        )
        store.append_audit(records)
        first, second, answer, refusal, last = records

        def find(**query: object) -> list[AuditedCall]:
            return store.list_audited_calls(AuditQuery(**query))  # type: ignore[arg-type]

        assert find() == [
            AuditedCall(first, answer),
            *(AuditedCall(record, None) for record in (second, refusal, last)),
        ]
        assert find(limit=2) == [AuditedCall(refusal, None), AuditedCall(last, None)]
        assert find(who="Alice") == [AuditedCall(first, answer), AuditedCall(last, None)]
        assert find(since=NOW + timedelta(seconds=1)) == [AuditedCall(last, None)]
        assert find(class_name="win32_ab") == [AuditedCall(second, None)]
        assert find(class_name="%") == []

    def test_calls_are_found_by_what_they_name(self, store: Store) -> None:
        records = chain(
            b"key",
            AuditHead(),
            [
                make_record(on={"Name": "VD-1"}, parameters={}),
                make_record(on={}, parameters={"names": ["vd-2", "vd-1"], "text": "…", "n": 1}),
                make_record(on={"Name": "vd-10"}, parameters={"Alias": "", "Odd": "x" * 300}),
                make_record(on={"Name": "vd-1"}, of=1, result="0"),
                make_record("bob", on={"Name": "vd-1"}, parameters={"VMName": "vd-1"}),
            ],
        )
        store.append_audit(records)

        def find(**query: object) -> list[int]:
            calls = store.list_audited_calls(AuditQuery(**query))  # type: ignore[arg-type]
            return [call.asked.sequence for call in calls]

        assert find(about="Vd-1") == [1, 2, 5]
        assert find(about="vd-1", limit=2) == [2, 5]
        assert find(about="vd-1", before=5, limit=1) == [2]
        assert find(about="vd-1", who="BOB") == [5]
        assert find(about="vd-") == find(about="…") == find(about="") == []
        assert store.list_audited_calls(AuditQuery(about="vd-1"))[0].answer == records[3]
