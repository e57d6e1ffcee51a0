"""Times as people and programs write them: one reading for imports, events, HTTP and clients.

A number is read by what is plausible: seconds, milliseconds, microseconds or nanoseconds since 1970 that lie in the years 1980
to 2100; `20240501` is a date. What could be several things, or is only a part of a time (a year, the serial number of a
spreadsheet), is refused by its name. A date without a time is midnight UTC. A time of day without a zone is refused in events,
where it may be hours off, and is UTC in imports, whose files seldom name a zone.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

# Windows and retention subtract up to a hundred years from a time; nothing before this is news on the web.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_TIME = "send ISO 8601 with a zone, e.g. 2024-05-01T12:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = 315_532_800, 4_102_444_800
"""The years 1980 to 2100 in seconds. No unit's range meets another's, nor that of the dates written as digits."""
_SHOWN_CHARS = 80
_SERIALS = (20_000, 80_000)
"""Days since 1900 as spreadsheets count them: 1954 to 2119."""

_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_DIGITS_DATE = re.compile(r"((?:19|20)\d\d|2100)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)
_DIGITS_HOUR = re.compile(
    rf"(?:{_DIGITS_DATE.pattern})(?:[01]\d|2[0-3])|(?:2\d|3[01])(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d",
    re.ASCII,
)
"""2024050112 and 2405011200: the seconds of 2030 to 2070, and a date with its hour. No news is of then."""
_TICKS_PER_SECOND, _TICKS_TO_1970 = 10**7, 621_355_968_000_000_000
"""As .NET counts, from the year 1: those of 1980 to 2100 are the nanoseconds of 1989 and 1990."""
_DIGITS_TIME = re.compile(rf"(?:{_DIGITS_DATE.pattern})([01]\d|2[0-3])([0-5]\d)([0-5]\d)?", re.ASCII)
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{4}/\d\d?/\d\d?|\d{8}|\d{4}-W\d\d-\d|\d{4}W\d{3})"
    r"(?:[Tt _]\s*(?P<time>\d\d(?::?\d\d(?::?\d\d(?:[.,]\d{1,12})?)?)?))?"
    r"\s*(?:(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)(?:\[[A-Za-z0-9_+/-]{1,40}\])?|(?P<utc>\[(?:Etc/)?(?:UTC|GMT)\]))?",
    re.ASCII,
)
_ZONE_ALONE = re.compile(r"\d{4}.{0,40}\[([A-Za-z0-9_+/-]{1,40})\]", re.ASCII)
"""A zone by its name and without its offset: how far it was from UTC on that day is not told."""
_RFC_822 = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?\d{1,2}[ -][A-Za-z]{3,9}[ -](?:\d{4}|\d\d)"
    r"(?:\s+(?P<time>\d{1,2}:\d\d(?::\d\d)?)(?:\s*(?P<zone>[+-]\d{4}|[A-Za-z]{1,5}))?)?(?:\s+\([^()]{0,40}\))?",
    re.ASCII,
)
_ZONES = frozenset({"UT", "UTC", "GMT", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"})
"""All zones that RFC 822 names."""


def read_time(value: object, *, zone_required: bool = False) -> datetime:
    """Return an aware time in UTC. Raises `ValueError` saying what is wrong and what to send.

    Read are aware and naive `datetime`s, dates, numbers and numbers in text by plausibility, ISO 8601 (basic and extended), and
    RFC 822 (as in RSS and mail). `zone_required` refuses a time of day without a zone.
    """
    if isinstance(value, bool):
        raise _not_a_time(value)
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, int | float):
        moment = _of_number(Decimal(value) if isinstance(value, int) else _decimal(repr(value), value), value)
    elif isinstance(value, str):
        moment = _of_text(value.strip(), value)
    else:
        raise _not_a_time(value)
    if moment.tzinfo is None:
        if zone_required:
            message = f"the time has no time zone, got {_shown(value)}; append one, e.g. Z"
            raise ValueError(message)
        moment = moment.replace(tzinfo=UTC)
    return _in_utc(moment)


def _of_text(text: str, value: str) -> datetime:
    if not text:
        message = f"not a time: it is empty; {_TIME}, or leave it out"
        raise ValueError(message)
    if _NUMBER.fullmatch(text):
        return _of_number(_decimal(text, value), value)
    if found := _ISO.fullmatch(text):
        return _of_iso(found, value)
    if found := _ZONE_ALONE.fullmatch(text):
        message = f"the zone [{found[1]}] has no offset before it, got {_shown(value)}; write it as numbers, e.g. +02:00"
        raise ValueError(message)
    if found := _RFC_822.fullmatch(text):
        return _of_rfc_822(found, value)
    if re.fullmatch(r"\d{1,2}[/.-]\d{1,2}[/.-](?:\d\d){1,2}(?:[ T,].*)?", text, re.ASCII | re.DOTALL):
        message = f"day and month cannot be distinguished, got {_shown(value)}; {_TIME}"
        raise ValueError(message)
    if re.fullmatch(r"\d{4}[-/]\d\d?", text, re.ASCII):
        message = f"it is a year and a month without a day, got {_shown(value)}; send the whole date, e.g. 2024-05-01"
        raise ValueError(message)
    raise _not_a_time(value)


def _of_number(number: Decimal, value: object) -> datetime:
    if not number.is_finite():
        raise _not_a_time(value)
    if number == number.to_integral_value() and number > 0:
        digits = f"{int(number)}" if number < Decimal(10) ** 20 else ""
        if found := _DIGITS_DATE.fullmatch(digits):
            return _built(value, *found.groups()).replace(tzinfo=UTC)
        if found := _DIGITS_TIME.fullmatch(digits):
            return _built(value, *(part or 0 for part in found.groups()))
        _refuse_two_readings(number, digits, value)
    for per_second in (1, 10**3, 10**6, 10**9):
        if _FIRST_S * per_second <= number < _LAST_S * per_second:
            microseconds = int(number * 1_000_000 / per_second)
            return _EPOCH + timedelta(microseconds=microseconds)
    raise ValueError(_what_a_number_is(number, value))


def _refuse_two_readings(number: Decimal, digits: str, value: object) -> None:
    if _DIGITS_HOUR.fullmatch(digits):
        message = f"it may be a date with its hour or seconds since 1970, got {_shown(value)}; {_TIME}"
        raise ValueError(message)
    if _FIRST_S <= (number - _TICKS_TO_1970) / _TICKS_PER_SECOND < _LAST_S:
        message = f"it may be ticks as .NET counts them or nanoseconds since 1970, got {_shown(value)}; {_TIME}"
        raise ValueError(message)


def _what_a_number_is(number: Decimal, value: object) -> str:
    shown = _shown(value)
    whole = number == number.to_integral_value()
    if whole and 1000 <= number <= 2999:  # noqa: PLR2004 - four digits that begin like a year
        return f"it is a year without month and day, got {shown}; send the whole date, e.g. 2024-05-01"
    if whole and 100_000 <= number <= 299_912 and 1 <= int(number) % 100 <= 12:  # noqa: PLR2004 - YYYYMM
        return f"it is a year and a month without a day, got {shown}; send the whole date, e.g. 2024-05-01"
    if _SERIALS[0] <= number <= _SERIALS[1]:
        day = date(1899, 12, 30) + timedelta(days=int(number))
        return f"it looks like the serial number of a spreadsheet ({day}), got {shown}; {_TIME}"
    return (
        f"as a number it is not a time between 1980 and 2100, in seconds, milliseconds, microseconds or nanoseconds since 1970, "
        f"got {shown}; {_TIME}"
    )


def _of_iso(found: re.Match[str], value: str) -> datetime:
    day, clock, zone = found["date"], found["time"], found["zone"] or ("Z" if found["utc"] else "")
    if "/" in day:
        day = "-".join(part.zfill(2) for part in day.split("/"))
    next_day = clock is not None and re.fullmatch(r"24(?::?00(?::?00(?:[.,]0+)?)?)?", clock) is not None
    clock = "00:00" if next_day else (clock or "00:00").replace(",", ".")
    zone = "+00:00" if zone.upper() in ("Z", "UTC", "GMT") else zone
    if found["time"] is None and not zone:
        zone = "+00:00"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
        return moment + timedelta(days=1) if next_day else moment
    except (ValueError, OverflowError):
        raise _not_a_time(value) from None


def _of_rfc_822(found: re.Match[str], value: str) -> datetime:
    zone = found["zone"]
    if zone is not None and zone[0] not in "+-" and zone.upper() not in _ZONES:
        message = f"zone {zone!r} is not one of RFC 822, got {_shown(value)}; write it as numbers, e.g. +0200"
        raise ValueError(message)
    text = found.string if found["time"] else f"{found.string} 00:00:00 +0000"
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise _not_a_time(value) from None
    # The library returns `-0000`, and nothing else that has a zone, without one.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None and (zone or not found["time"]) else moment


def _built(value: object, *parts: str | int) -> datetime:
    try:
        return datetime(*map(int, parts))  # type: ignore[arg-type]  # noqa: DTZ001 - its zone is the caller's business
    except ValueError:
        raise _not_a_time(value) from None


def _decimal(text: str, value: object) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise _not_a_time(value) from None


def _in_utc(moment: datetime) -> datetime:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        message = f"{moment.isoformat()} is outside the years 1 to 9999 in UTC; send the time the event happened"
        raise ValueError(message) from None
    if in_utc < EARLIEST:
        message = f"{moment.isoformat()} is before the year {EARLIEST.year}; send the time the event happened"
        raise ValueError(message)
    return in_utc


def _not_a_time(value: object) -> ValueError:
    return ValueError(f"not a time, got {_shown(value)}; {_TIME}")


def _shown(value: object) -> str:
    shown = repr(value[:_SHOWN_CHARS] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"


_FORMS = "|".join(re.sub(r"\?P<[a-z]+>", "", form.pattern) for form in (_NUMBER, _ISO, _RFC_822))
TIME_PATTERN = rf"^\s*(?:{_FORMS})\s*(?![\s\S])"
"""The forms of times in text, as JSON Schema can say them; whether one stands in the calendar it cannot."""


def _read_in_events(value: object) -> datetime:
    return read_time(value, zone_required=True)


Moment = Annotated[
    datetime,
    BeforeValidator(_read_in_events),
    WithJsonSchema({
        "description": (
            "ISO 8601 with a zone, a date, RFC 822, or seconds, milliseconds, microseconds or nanoseconds since 1970; "
            "20240501 is a date."
        ),
        "examples": ["2024-05-01T12:00:00Z"],
        "anyOf": [{"type": "string", "pattern": TIME_PATTERN}, {"type": "number", "minimum": 19_000_101}],
    }),
]  # fmt: skip
"""A time, as a field of a model. With a zone, or a whole day."""
