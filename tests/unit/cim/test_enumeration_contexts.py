import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from openrdms.cim.enumeration import Contexts
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.provider import Caller

ALICE, BOB = Caller("alice", "", "auditor"), Caller("bob", "", "auditor")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_context_is_taken_once_by_its_owner_in_its_namespace() -> None:
    contexts: Contexts[str] = Contexts()
    identifier = contexts.open(ALICE, "root/x", "content")
    for caller, namespace in ((BOB, "root/x"), (ALICE, "root/y")):
        with pytest.raises(CimError) as caught:
            contexts.take(caller, namespace, identifier)
        assert caught.value.status is CimStatus.INVALID_ENUMERATION_CONTEXT
    assert contexts.take(ALICE, "ROOT/x", identifier) == "content"
    with pytest.raises(CimError):
        contexts.take(ALICE, "root/x", identifier)


def test_ids_never_repeat() -> None:
    contexts: Contexts[int] = Contexts(limit=2000)
    assert len({contexts.open(ALICE, "root/x", number) for number in range(1000)}) == 1000


def test_idle_contexts_expire() -> None:
    clock = Clock()
    contexts: Contexts[str] = Contexts(idle_seconds=10, clock=clock)
    identifier = contexts.open(ALICE, "root/x", "content")
    clock.now = 10.1
    with pytest.raises(CimError):
        contexts.take(ALICE, "root/x", identifier)
    contexts.open(ALICE, "root/x", "old")
    clock.now = 30
    contexts.open(ALICE, "root/x", "new")
    assert len(contexts) == 1


def test_beyond_the_limit_the_longest_idle_goes() -> None:
    contexts: Contexts[int] = Contexts(limit=3)
    first, second, *_ = [contexts.open(ALICE, "root/x", number) for number in range(4)]
    assert len(contexts) == 3
    with pytest.raises(CimError):
        contexts.take(ALICE, "root/x", first)
    assert contexts.take(ALICE, "root/x", second) == 1


def test_one_of_many_threads_gets_a_context() -> None:
    contexts: Contexts[str] = Contexts()
    identifier = contexts.open(ALICE, "root/x", "content")

    def take(_: int) -> bool:
        try:
            return contexts.take(ALICE, "root/x", identifier) == "content"
        except CimError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(64))) == 1


def test_an_owner_with_many_pushes_out_his_own_only() -> None:
    contexts: Contexts[str] = Contexts(limit=4, limit_of_one=3)
    hers = contexts.open(ALICE, "root/x", "hers")
    his = [contexts.open(BOB, "root/x", "his") for _ in range(10)]
    assert len(contexts) == 4
    assert contexts.take(ALICE, "root/x", hers) == "hers"
    for identifier in his[-3:]:
        contexts.take(BOB, "root/x", identifier)


def test_what_is_put_back_has_its_id_again() -> None:
    contexts: Contexts[str] = Contexts()
    identifier = contexts.open(ALICE, "root/x", "content")
    contexts.restore(ALICE, "root/x", identifier, contexts.take(ALICE, "root/x", identifier))
    assert contexts.take(ALICE, "root/x", identifier) == "content"


def test_who_comes_to_another_service_is_told_of_stickiness() -> None:
    here, there = Contexts[int](mark="0123ABCD"), Contexts[int](mark="89ABCDEF")
    identifier = here.open(ALICE, "root", 1)
    assert str(uuid.UUID(identifier)).upper() == identifier
    assert identifier.startswith("0123ABCD-")
    with pytest.raises(CimError, match="stickiness") as elsewhere:
        there.take(ALICE, "root", identifier)
    assert elsewhere.value.status is CimStatus.INVALID_ENUMERATION_CONTEXT
    assert here.take(ALICE, "root", identifier) == 1
    with pytest.raises(CimError, match="unknown or has ended"):
        here.take(ALICE, "root", identifier)
