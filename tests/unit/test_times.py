"""Times are read by what is plausible, alike in imports and events; what could be several things is refused by its name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from config.foreign.times import read_time

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = datetime(2024, 5, 1, tzinfo=UTC)

READ: list[tuple[Any, datetime]] = [
    # Numbers of an epoch, in every unit and as text.
    (1714564800, NOON),
    (1714564800_000, NOON),
    (1714564800_000_000, NOON),
    (1714564800_000_000_000, NOON),
    ("1714564800", NOON),
    ("1714564800000000000", NOON),
    ("1714564800.5", NOON + timedelta(milliseconds=500)),
    ("1.7145648e9", NOON),
    (1714564800.25, NOON + timedelta(milliseconds=250)),
    (1705011200, datetime(2024, 1, 11, 22, 13, 20, tzinfo=UTC)),
    (700000000000000000, datetime(1992, 3, 7, 20, 26, 40, tzinfo=UTC)),
    (315532800, datetime(1980, 1, 1, tzinfo=UTC)),
    # Dates.
    (20240501, DAY),
    (20240501.0, DAY),
    ("20240501", DAY),
    ("20030219", datetime(2003, 2, 19, tzinfo=UTC)),
    ("2024-05-01", DAY),
    ("2024/05/01", DAY),
    ("2024/5/1", DAY),
    ("2024-W18-3", DAY),
    (date(2024, 5, 1), DAY),
    ("1 May 2024", DAY),
    ("2024-05-01+02:00", DAY - timedelta(hours=2)),
    # ISO 8601 and what is written in its place.
    ("2024-05-01T12:00:00Z", NOON),
    ("2024-05-01t12:00:00z", NOON),
    ("20240501T120000Z", NOON),
    ("2024-05-01T12:00:00 UTC", NOON),
    ("2024-05-01 12:00:00 GMT", NOON),
    ("2024-05-01T14:00:00+02:00", NOON),
    ("2024-05-01 14:00:00 +0200", NOON),
    ("2024-05-01T14:00:00+02", NOON),
    ("2024-05-01T14:00:00+02:00[Europe/Paris]", NOON),
    ("2024-05-01T12:00:00Z[Europe/Paris]", NOON),
    ("2024-05-01T12:00:00[UTC]", NOON),
    ("2024-05-01T12:00:00[Etc/UTC]", NOON),
    ("2024-05-01T12:00:00,5Z", NOON + timedelta(milliseconds=500)),
    ("2024-05-01T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
    ("2024-05-01T24:00:00Z", DAY + timedelta(days=1)),
    (" 2024-05-01T12:00Z\n", NOON),
    (NOON.astimezone(timezone(timedelta(hours=5))), NOON),
    # RFC 822 and RFC 850, as feeds and mail have it.
    ("Wed, 02 Oct 2002 08:00:00 EST", datetime(2002, 10, 2, 13, tzinfo=UTC)),
    ("Tue, 01 Aug 2017 12:15:20 +0000", datetime(2017, 8, 1, 12, 15, 20, tzinfo=UTC)),
    ("1 May 24 14:00 +0200", NOON),
    ("Wednesday, 01-May-24 12:00:00 GMT", NOON),
    ("Wed, 01 May 2024 12:00:00 -0000", NOON),
    ("Wed, 01 May 2024 12:00:00 GMT (Greenwich)", NOON),
]


@pytest.mark.parametrize(("value", "expected"), READ, ids=[repr(value) for value, _ in READ])
@pytest.mark.parametrize("zone_required", [False, True])
def test_times_are_read(value: Any, expected: datetime, *, zone_required: bool) -> None:
    assert read_time(value, zone_required=zone_required) == expected


WITHOUT_ZONE = [
    "2024-05-01 12:00:00",
    "2024-05-01T12:00",
    "20240501120000",
    202405011200,
    "1 May 2024 12:00",
    NOON.replace(tzinfo=None),
]


@pytest.mark.parametrize("value", WITHOUT_ZONE, ids=repr)
def test_a_time_of_day_without_a_zone_is_utc_in_a_file_and_refused_in_an_event(value: Any) -> None:
    assert read_time(value) == NOON
    with pytest.raises(ValueError, match=r"no time zone, got .*; append one"):
        read_time(value, zone_required=True)


REFUSED: list[tuple[Any, str]] = [
    ("2024", "a year without month and day"),
    (1999, "a year without month and day"),
    ("202405", "a year and a month"),
    ("2024-05", "a year and a month"),
    ("45413", r"serial number of a spreadsheet \(2024-05-01\)"),
    (45413.5, "serial number of a spreadsheet"),
    ("0", "not a time between 1980 and 2100"),
    (-1, "not a time between 1980 and 2100"),
    ("20240532", "not a time between 1980 and 2100"),
    (1e300, "not a time between 1980 and 2100"),
    (10**400, "not a time between 1980 and 2100"),
    ("1e99", "not a time between 1980 and 2100"),
    # Two readings: ticks or nanoseconds, a date with its hour or seconds, a zone whose offset nobody told.
    (638501616000000000, "ticks"),
    ("638501616000000000", "ticks"),
    (638501616000000000.0, "ticks"),
    ("6.38501616e17", "ticks"),
    (2024050112, "its hour"),
    ("1999123123", "its hour"),
    ("2405011200", "its hour"),
    ("2024-05-01T12:00:00[Europe/Berlin]", r"\[Europe/Berlin\]"),
    ("2024-05-01 12:00 [America/New_York]", r"\[America/New_York\]"),
    ("2024-05-01[Asia/Tokyo]", r"\[Asia/Tokyo\]"),
    ("01/05/2024", "day and month"),
    ("5-1-24", "day and month"),
    ("", "it is empty"),
    ("NaT", "not a time"),
    ("soon", "not a time, got 'soon'; send ISO 8601"),
    ("0000-00-00 00:00:00", "not a time"),
    ("2024-02-30", "not a time"),
    ("2024-05-01-12:00:00", "not a time"),
    ("9999-12-31T24:00:00Z", "not a time"),
    ("Wed, 01 Mai 2024 12:00:00 +0000", "not a time"),
    ("Wed, 01 May 2024 12:00:00 CEST", "zone 'CEST' is not one of RFC 822"),
    ("1899-12-31", "before the year 1900"),
    ("0001-01-01T00:00:00+14:00", "outside the years 1 to 9999"),
    (float("nan"), "not a time"),
    (True, "not a time"),
    (None, "not a time"),
    ([], "not a time"),
    ("٢٠٢٤-٠٥-٠١", "not a time"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED, ids=[repr(value)[:40] for value, _ in REFUSED])
def test_what_is_no_time_is_refused_by_name(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read_time(value)
    assert len(str(caught.value)) < 400
