"""Second factors: which codes are taken, and how often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from fakes.clock import StoppedClock
from fakes.leaving_records import LeavingRecords
from openrdms.model import errors
from openrdms.model.account import Account, Role
from openrdms.ports import Store
from openrdms.security.accounts import Accounts
from openrdms.security.totp import PROPOSED, SecondFactors


@pytest.fixture
def factors(store: Store, accounts: Accounts, tmp_path: Path, clock: StoppedClock) -> SecondFactors:
    return SecondFactors(store, accounts, tmp_path / "totp-key", clock)


@pytest.fixture
def ann(accounts: Accounts) -> Account:
    return accounts.add("ann", Role.USER)


def enrol(factors: SecondFactors, account: Account, clock: StoppedClock) -> pyotp.TOTP:
    device = pyotp.TOTP(factors.propose(account).secret)
    factors.enrol(account, device.at(clock()))
    return device


def test_codes_about_now_are_taken_once(
    factors: SecondFactors, ann: Account, clock: StoppedClock
) -> None:
    device = enrol(factors, ann, clock)
    assert not factors.check(ann, device.at(clock()))  # confirmed the device
    clock.move(timedelta(seconds=90))
    times = [timedelta(seconds=30 * step) for step in (-2, -1, -1, 0, -1, 1, 0, 2)]
    steps = [device.at(clock() + time) for time in times]
    found = [factors.check(ann, code) for code in steps]
    assert found == [False, True, False, True, False, True, False, False]


def test_of_many_who_bring_one_code_one_is_let_in(
    factors: SecondFactors, ann: Account, clock: StoppedClock
) -> None:
    device = enrol(factors, ann, clock)
    clock.move(timedelta(seconds=60))
    code = device.at(clock())
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda _: factors.check(ann, code), range(16))]
    assert found.count(True) == 1


def test_of_many_who_bring_a_device_one_has_set_it_up(
    factors: SecondFactors, ann: Account, clock: StoppedClock
) -> None:
    code = pyotp.TOTP(factors.propose(ann).secret).at(clock())

    def bring(_: int) -> list[str]:
        try:
            return factors.enrol(ann, code)
        except (errors.AlreadyExists, errors.InvalidParameter):
            return []

    with ThreadPoolExecutor(8) as threads:
        (recovery,) = [codes for codes in threads.map(bring, range(16)) if codes]
    assert factors.check(ann, recovery[0])
    another = pyotp.TOTP(factors.propose(ann).secret)
    with pytest.raises(errors.AlreadyExists):
        factors.enrol(ann, another.at(clock()))
    assert factors.check(ann, recovery[1])


@pytest.mark.parametrize("code", ["", "12345", "abcdef", "１２３４５６", "0" * 64, "\0"])
def test_what_is_no_code(
    factors: SecondFactors, ann: Account, clock: StoppedClock, code: str
) -> None:
    enrol(factors, ann, clock)
    assert not factors.check(ann, code)


def test_a_proposal_is_good_for_minutes(
    factors: SecondFactors, ann: Account, clock: StoppedClock
) -> None:
    device = pyotp.TOTP(factors.propose(ann).secret)
    assert factors.propose(ann).secret == device.secret
    clock.move(PROPOSED)
    with pytest.raises(errors.InvalidParameter):
        factors.enrol(ann, device.at(clock()))
    assert factors.propose(ann).secret != device.secret
    assert not factors.has(ann)


def test_it_goes_with_its_account(
    factors: SecondFactors, accounts: Accounts, ann: Account, clock: StoppedClock
) -> None:
    accounts.add("root", Role.ADMINISTRATOR)
    enrol(factors, ann, clock)
    accounts.remove("ann")
    assert not factors.is_needed(accounts.add("Ann", Role.USER))


def test_it_outlives_the_service_and_needs_its_key(
    factors: SecondFactors,
    store: Store,
    accounts: Accounts,
    ann: Account,
    tmp_path: Path,
    clock: StoppedClock,
) -> None:
    device = enrol(factors, ann, clock)
    clock.move(timedelta(seconds=60))
    again = SecondFactors(store, accounts, tmp_path / "totp-key", clock)
    assert again.has(ann)
    other = SecondFactors(store, accounts, tmp_path / "another-key", clock)
    with pytest.raises(errors.OperationFailed):
        other.check(ann, device.at(clock()))
    assert again.check(ann, device.at(clock()))


class Away:
    """ann's device, at two services of which the records of one are away."""

    def __init__(self, store: Store, accounts: Accounts, place: Path, clock: StoppedClock) -> None:
        self.records: Any = LeavingRecords(store)
        self.here = SecondFactors(self.records, accounts, place / "key", clock)
        self.there = SecondFactors(store, accounts, place / "key", clock)
        self.ann = accounts.add("ann", Role.USER)
        self.is_good = True
        self.here.go_by_memory(lambda: self.is_good)
        self.device = enrol(self.there, self.ann, clock)
        self.here.reread(["ann"])
        clock.move(timedelta(minutes=5))
        self.clock = clock

    def code(self, steps: int = 0) -> str:
        return self.device.at(self.clock() + timedelta(seconds=30 * steps))


@pytest.fixture
def away(store: Store, accounts: Accounts, tmp_path: Path, clock: StoppedClock) -> Away:
    made = Away(store, accounts, tmp_path, clock)
    assert made.here.check(made.ann, made.code(-1))
    made.records.away = True
    return made


def test_while_records_are_away_each_code_is_taken_once(away: Away) -> None:
    times = (-1, 0, 0, -1, 1, 1, 2)
    found = [away.here.check_late(away.ann, away.code(time)) for time in times]
    assert found == [False, True, False, False, True, False, False]
    with pytest.raises(errors.RecordsUnavailable):
        away.here.check(away.ann, away.code())
    away.records.away = False
    assert not away.here.check(away.ann, away.code(1))
    assert not away.there.check(away.ann, away.code(1))


def test_one_that_another_service_took_as_well_is_noted_once(away: Away) -> None:
    assert away.here.check_late(away.ann, away.code())
    assert away.there.check(away.ann, away.code())
    away.records.away = False
    away.here.late_steps.write()
    away.here.late_steps.write()
    away.clock.move(timedelta(seconds=90))
    assert away.here.check(away.ann, away.code())


def test_what_is_not_known_to_hold_is_not_gone_by(away: Away, accounts: Accounts) -> None:
    for account, code in [(away.ann, "a" * 15), (accounts.add("bob", Role.USER), away.code())]:
        with pytest.raises(errors.RecordsUnavailable):
            away.here.check_late(account, code)
    away.is_good = False
    with pytest.raises(errors.RecordsUnavailable):
        away.here.check_late(away.ann, away.code())


def test_a_code_that_another_service_took_before_is_taken_no_more(away: Away) -> None:
    away.records.away = False
    assert away.there.check(away.ann, away.code())
    away.here.reread(["ann"])
    away.records.away = True
    assert not away.here.check_late(away.ann, away.code())
