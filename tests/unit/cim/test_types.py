from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.cim import types
from openrdms.cim.types import CimType

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.datetimes(timezones=ZONES, min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))
def test_a_point_in_time_survives_its_text(point: datetime) -> None:
    assert types.parse_datetime(types.render_scalar(point)) == point


@given(st.timedeltas(timedelta(0), timedelta(99_999_999)))
def test_an_interval_survives_its_text(interval: timedelta) -> None:
    assert types.parse_datetime(types.render_scalar(interval)) == interval


@given(st.floats(allow_nan=False))
def test_a_real_survives_its_text(number: float) -> None:
    assert types.parse_scalar(CimType.REAL64, types.render_scalar(number)) == number


@given(st.integers(0, 2**64 - 1))
def test_a_uint64_survives_its_text(number: int) -> None:
    assert types.parse_scalar(CimType.UINT64, types.render_scalar(number)) == number


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("2013-04-15T16:28:43.488171Z", datetime(2013, 4, 15, 16, 28, 43, 488171, UTC)),
        ("2013-04-15T16:28:43+02:00", datetime(2013, 4, 15, 14, 28, 43, 0, UTC)),
        ("2013-04-15T16:28:43", datetime(2013, 4, 15, 16, 28, 43, 0, UTC)),
        ("2013-04-15T16:28:43.1234567Z", datetime(2013, 4, 15, 16, 28, 43, 123456, UTC)),
        ("20130415162843.488171+120", datetime(2013, 4, 15, 14, 28, 43, 488171, UTC)),
        ("20130415162843.000000-060", datetime(2013, 4, 15, 17, 28, 43, 0, UTC)),
        ("P0DT0H1M40S", timedelta(seconds=100)),
        ("PT60.000S", timedelta(seconds=60)),
        ("PT1.5S", timedelta(seconds=1.5)),
        ("00000001020304.000005:000", timedelta(1, 4, 5, 0, 3, 2)),
    ],
)
def test_every_spelling_of_a_datetime_is_read(text: str, point: datetime | timedelta) -> None:
    assert types.parse_datetime(text) == point


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "yesterday", "2013-04-15", "2013-13-15T00:00:00Z", "P1Y"]
)
def test_what_is_no_datetime_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        types.parse_datetime(text)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+14:00",
        "00010101000000.000000+720",
        "99991231235959.000000-720",
        "P100000000D",
    ],
)
def test_a_datetime_that_could_not_be_written_again_is_refused(text: str) -> None:
    with pytest.raises(types.WrongValueError):
        types.parse_datetime(text)


def test_a_duration_beyond_what_python_holds_is_refused() -> None:
    with pytest.raises(types.WrongValueError, match="too long"):
        types.parse_duration("P999999999DT999999999H")


@pytest.mark.parametrize(
    ("cim_type", "text", "value"),
    [
        (CimType.BOOLEAN, "TRUE", True),
        (CimType.BOOLEAN, " 0 ", False),
        (CimType.UINT8, "+255", 255),
        (CimType.SINT32, " -2147483648 ", -(2**31)),
        (CimType.REAL32, "INF", float("inf")),
        (CimType.CHAR16, "x", "x"),
        (CimType.STRING, " kept ", " kept "),
    ],
)
def test_texts_of_scalars(cim_type: CimType, text: str, value: object) -> None:
    assert types.parse_scalar(cim_type, text) == value


@pytest.mark.parametrize(
    ("cim_type", "text"),
    [
        (CimType.UINT8, "256"),
        (CimType.UINT8, "-1"),
        (CimType.UINT32, "4294967296"),
        (CimType.SINT32, "2147483648"),
        (CimType.UINT32, "1.0"),
        (CimType.UINT32, "\u0661"),
        (CimType.UINT32, "9" * 5000),
        (CimType.BOOLEAN, "yes"),
        (CimType.CHAR16, "xy"),
        (CimType.REAL64, "ten"),
    ],
)
def test_texts_that_are_not_of_the_type(cim_type: CimType, text: str) -> None:
    with pytest.raises(ValueError):
        types.parse_scalar(cim_type, text)


@pytest.mark.parametrize(
    ("cim_type", "value"),
    [
        (CimType.UINT32, True),
        (CimType.UINT32, "1"),
        (CimType.STRING, 1),
        (CimType.BOOLEAN, 1),
        (CimType.DATETIME, "2013-04-15T16:28:43Z"),
        (CimType.REAL64, 1),
    ],
)
def test_values_that_are_not_of_the_type(cim_type: CimType, value: object) -> None:
    with pytest.raises(types.WrongValueError):
        types.check_scalar(cim_type, value)


def test_specials_of_reals_are_spelled_as_in_xml_schema() -> None:
    assert [types.render_scalar(float(x)) for x in ("inf", "-inf", "nan")] == ["INF", "-INF", "NaN"]
