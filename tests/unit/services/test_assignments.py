"""Rules of personal session desktops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.new_records import open_records
from openrdms.model import errors
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.model.session_host import SessionCollection, SessionCollectionType, SessionHost
from openrdms.services.assignments import Assignments

ANN = Assignment("own", "one.example", "ann", "CORP")
BOB = Assignment("own", "two.example", "bob", "CORP")


@pytest.fixture
def assignments(tmp_path: Path) -> Iterator[Assignments]:
    store = open_records(tmp_path / "records.sqlite")
    kind = SessionCollectionType.AUTO_PERSONAL
    store.create_session_collection(SessionCollection("own", "One each", kind))
    for name in ("one.example", "two.example", "three.example"):
        store.create_session_host(SessionHost(name, "rdcb.example", "own"))
    service = Assignments(store)
    service.add(ANN)
    service.add(BOB)
    yield service
    store.close()


@pytest.mark.parametrize(
    ("collection", "desktop", "user", "domain", "field"),
    [
        ("", "three.example", "eve", "CORP", "CollectionAlias"),
        ("own", "", "eve", "CORP", "DesktopName"),
        ("own", "three.example", "", "CORP", "UserName"),
        ("own", "three.example", "eve", "", "UserDomain"),
        ("own", "three.example", "CORP\\eve", "CORP", "UserName"),
    ],
)
def test_names_are_needed(
    assignments: Assignments, collection: str, desktop: str, user: str, domain: str, field: str
) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        assignments.add(Assignment(collection, desktop, user, domain))
    assert caught.value.field == field
    assert assignments.list_assignments(AssignmentFilter()) == [ANN, BOB]


@pytest.mark.parametrize(
    ("desktop", "user", "domain"),
    [
        ("ONE.example", "", ""),
        ("", "ANN", "corp"),
        ("one.example", "ann", "CORP"),
    ],
)
def test_what_is_left_empty_is_any(
    assignments: Assignments, desktop: str, user: str, domain: str
) -> None:
    assignments.remove("OWN", desktop=desktop, user=user, user_domain=domain)
    assert assignments.list_assignments(AssignmentFilter()) == [BOB]


@pytest.mark.parametrize(
    ("collection", "desktop", "user", "domain", "field"),
    [
        ("", "one.example", "ann", "CORP", "CollectionAlias"),
        ("own", "", "", "", "DesktopName"),
        ("own", "", "ann", "", "UserDomain"),
        ("own", "one.example", "", "CORP", "UserName"),
    ],
)
def test_nobody_loses_a_desktop_by_accident(
    assignments: Assignments, collection: str, desktop: str, user: str, domain: str, field: str
) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        assignments.remove(collection, desktop=desktop, user=user, user_domain=domain)
    assert caught.value.field == field
    assert assignments.list_assignments(AssignmentFilter()) == [ANN, BOB]


@pytest.mark.parametrize(
    ("collection", "desktop", "user", "domain"),
    [
        ("other", "one.example", "", ""),
        ("own", "three.example", "", ""),
        ("own", "one.example", "bob", "CORP"),
        ("own", "", "ann", "LAB"),
    ],
)
def test_what_matches_nothing_is_not_found(
    assignments: Assignments, collection: str, desktop: str, user: str, domain: str
) -> None:
    with pytest.raises(errors.NotFound):
        assignments.remove(collection, desktop=desktop, user=user, user_domain=domain)
    assert assignments.list_assignments(AssignmentFilter()) == [ANN, BOB]
