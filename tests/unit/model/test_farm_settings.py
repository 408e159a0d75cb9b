"""VmFarmSettings and UserVHDSetting: what clients can read, and both agreeing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.model.farm_settings import DEFAULT, check_profile_disks, find_share, fold_share

GB = 2**30


def make_settings(**metadata: str) -> str:
    items = "".join(
        f'<Metadata Name="{name}" Value="{value}" />'
        for name, value in ({"SaveDelay": "60000"} | metadata).items()
    )
    return f"<Farm>{items}</Farm>"


def make_disk(size: object) -> str:
    return f"<UVHDTemplateSetting><DiskSize>{size}</DiskSize></UVHDTemplateSetting>"


ON = {"UvhdProfRoamingEnabled": "true", "UvhdShareUrl": r"\\files\profiles"}
POLICY = "&lt;UvhdRoamingPolicy&gt;{}&lt;/UvhdRoamingPolicy&gt;"


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        (DEFAULT, ""),
        (f'<?xml version="1.0" encoding="utf-16"?>{DEFAULT}', ""),
        (make_settings(Unheard="of"), ""),
        (make_settings(**ON), r"\\files\profiles"),
        (make_settings(**ON | {"UvhdProfRoamingEnabled": "FALSE"}), ""),
        (make_settings(**ON, UvhdProfRoamingPolicy=POLICY.format("")), r"\\files\profiles"),
    ],
)
def test_where_profile_disks_are(settings: str, share: str) -> None:
    assert find_share(settings) == share
    check_profile_disks(settings, make_disk(40 * GB))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", "not well-formed"),
        ("<Farm>", "not well-formed"),
        ("<Barn />", "root"),
        ("<Farm />", "SaveDelay"),
        (make_settings(SaveDelay="-1"), "SaveDelay"),
        (make_settings(SaveDelay="4294967296"), "SaveDelay"),
        ("<!DOCTYPE Farm [<!ENTITY x 'y'>]>" + DEFAULT, "document type"),
        ('<Farm><Metadata Name="SaveDelay" /></Farm>', "Value"),
        ('<Farm><Metadata Name="SaveDelay" Value="1" /><Other /></Farm>', "Metadata"),
        (DEFAULT.replace("</Farm>", '<Metadata Name="SaveDelay" Value="1" /></Farm>'), "twice"),
        (make_settings(UvhdProfRoamingEnabled="yes"), "UvhdProfRoamingEnabled"),
        (make_settings(UvhdProfRoamingEnabled="True"), "UvhdShareUrl"),
        (make_settings(**ON | {"UvhdShareUrl": "profiles"}), "share"),
        (make_settings(UvhdProfRoamingPolicy="&lt;Other/&gt;"), "UvhdRoamingPolicy"),
        (make_settings(UvhdProfRoamingPolicy=POLICY.format("&lt;Keep/&gt;")), "Include"),
        (f"<Farm>{' ' * 2**18}</Farm>", "longer"),
    ],
)
def test_what_clients_could_not_read(settings: str, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words) as caught:
        find_share(settings)
    assert caught.value.field == "VmFarmSettings"


@pytest.mark.parametrize(
    "disk",
    ["", make_disk(""), make_disk(GB - 1), make_disk(9999 * GB + 1), "<DiskSize>1</DiskSize>"],
)
def test_a_profile_disk_has_1_to_9999_gb(disk: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_profile_disks(DEFAULT, disk)
    assert caught.value.field == "UserVHDSetting"


def test_profile_disks_need_a_size() -> None:
    check_profile_disks(DEFAULT, None)
    for size in (GB, 9999 * GB):
        check_profile_disks(make_settings(**ON), make_disk(size))
    with pytest.raises(InvalidParameter, match="UserVHDSetting"):
        check_profile_disks(make_settings(**ON), None)


def test_shares_are_compared_ignoring_case_and_a_separator_at_the_end() -> None:
    assert fold_share("\\\\Files\\Profiles\\") == fold_share(r"\\FILES\profiles")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        find_share(text)
    except InvalidParameter as error:
        assert error.field == "VmFarmSettings"
