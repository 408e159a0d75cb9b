"""Rules of published applications and file types, and what the feed is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.model.publishing import (
    MAX_ICON,
    Application,
    CommandLine,
    FeedSource,
    FileType,
    ResourceKind,
    accept_application,
    check_file_type,
    make_feed,
)

NOW = datetime(2026, 5, 4, tzinfo=UTC)
CALC = Application("farm", "calc", "Calculator", "/usr/bin/calc", "/usr/bin/calc")
FARM = FeedSource("farm", "The farm", "D:(A;;GA;;;S-1-1-0)", show=True, icon=b"icon")
OWN = "D:(A;;GA;;;S-1-5-32-545)"


@pytest.mark.parametrize(
    "changes",
    [
        {"alias": "calc (2)", "name": "x" * 256},
        {"folder": "x" * 64},
        {"command_line_setting": CommandLine.ALLOW, "required_command_line": "--kept anyway"},
        {"icon": bytes(MAX_ICON), "icon_index": -1, "icon_path": "%SystemRoot%\\a.dll"},
        {"security_descriptor": OWN},
        {"security_descriptor": "D:"},
    ],
)
def test_what_is_kept_as_it_is(changes: dict[str, object]) -> None:
    application = replace(CALC, **changes)
    assert accept_application(application) == application


def test_blanks_mean_none() -> None:
    blank = replace(
        CALC,
        virtual_path="",
        security_descriptor=" ",
        required_command_line=" ",
        folder="",
    )
    assert accept_application(blank) == CALC


def test_a_descriptor_is_kept_with_full_sids() -> None:
    kept = accept_application(replace(CALC, security_descriptor="D:(A;;GA;;;BU)"))
    assert kept.security_descriptor == OWN


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("AppAlias", {"alias": ""}),
        ("AppAlias", {"alias": " calc"}),
        ("AppAlias", {"alias": ".."}),
        *[("AppAlias", {"alias": f"a{letter}b"}) for letter in "*?\":<>|\\/'\n"],
        ("DisplayName", {"name": ""}),
        ("DisplayName", {"name": "x" * 257}),
        *[("DisplayName", {"name": f"a{letter}b"}) for letter in '*?":<>|\\/\t'],
        ("Folder", {"folder": "x" * 65}),
        ("Folder", {"folder": "."}),
        ("Folder", {"folder": ".."}),
        *[("Folder", {"folder": f"a{letter}b"}) for letter in '*?":<>|\\/\x1f'],
        ("AppPath", {"path": ""}),
        ("AppPath", {"path": "a\nb"}),
        ("VirtualPath", {"virtual_path": "x" * 4097}),
        ("RequiredCommandLine", {"required_command_line": "a\0"}),
        ("IconPath", {"icon_path": "x" * 4097}),
        ("IconContents", {"icon": bytes(MAX_ICON + 1)}),
        ("SecurityDescriptor", {"security_descriptor": "Users"}),
    ],
)
def test_what_is_refused(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        accept_application(replace(CALC, **changes))
    assert caught.value.field == field


@given(st.text(), st.text(), st.text() | st.none())
def test_what_is_accepted_is_accepted_again(alias: str, name: str, folder: str | None) -> None:
    try:
        kept = accept_application(replace(CALC, alias=alias, name=name, folder=folder))
    except InvalidParameter as error:
        assert error.field in {"AppAlias", "DisplayName", "Folder"}
    else:
        assert accept_application(kept) == kept


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("ExtName", {"extension": ""}),
        ("ExtName", {"extension": ".a/b"}),
        ("ProgIdHint", {"prog_id_hint": "x" * 257}),
        ("IconContents", {"icon": bytes(MAX_ICON + 1)}),
    ],
)
def test_what_file_types_cannot_be(field: str, changes: dict[str, object]) -> None:
    check_file_type(FileType("farm", "calc", ".ods", "Calc.8"))
    with pytest.raises(InvalidParameter) as caught:
        check_file_type(replace(FileType("farm", "calc", ".ods"), **changes))
    assert caught.value.field == field


def test_without_applications_the_desktop_is_offered() -> None:
    [desktop] = make_feed(FARM, [], [], NOW)
    assert desktop.kind is ResourceKind.DESKTOP
    assert (desktop.application, desktop.title, desktop.icon) == ("", "The farm", b"icon")
    assert desktop.descriptors == (FARM.descriptor,)
    [hidden] = make_feed(replace(FARM, show=False), [], [], NOW)
    assert not hidden.show


def test_applications_take_the_place_of_the_desktop() -> None:
    types = [
        FileType("farm", "CALC", ".xls", is_published=True),
        FileType("farm", "calc", ".ods", is_published=True),
        FileType("farm", "calc", ".not", is_published=False),
        FileType("farm", "base", ".odb", is_published=True),
    ]
    [calc] = make_feed(FARM, [replace(CALC, folder="Office")], types, NOW)
    assert (calc.kind, calc.title, calc.folder) == (
        ResourceKind.APPLICATION,
        "Calculator",
        "Office",
    )
    assert calc.file_types == (".ods", ".xls")


@pytest.mark.parametrize(
    ("collection", "own", "descriptors"),
    [
        (None, None, ()),
        (None, OWN, ()),  # nobody but administrators may use the collection
        (FARM.descriptor, None, (FARM.descriptor,)),
        (FARM.descriptor, OWN, (FARM.descriptor, OWN)),
    ],
)
def test_an_application_narrows_who_may_use_its_collection(
    collection: str | None, own: str | None, descriptors: tuple[str, ...]
) -> None:
    source = replace(FARM, descriptor=collection)
    [calc] = make_feed(source, [replace(CALC, security_descriptor=own)], [], NOW)
    assert calc.descriptors == descriptors


@pytest.mark.parametrize(
    ("setting", "required", "given"),
    [
        (CommandLine.DO_NOT_ALLOW, "--x", ""),
        (CommandLine.ALLOW, "--x", None),
        (CommandLine.REQUIRE, "--x", "--x"),
        (CommandLine.REQUIRE, None, ""),
    ],
)
def test_what_an_application_is_started_with(
    setting: CommandLine, required: str | None, given: str | None
) -> None:
    application = replace(CALC, command_line_setting=setting, required_command_line=required)
    [calc] = make_feed(FARM, [application], [], NOW)
    assert calc.command_line == given
