"""How values are written on the page: moments, spans of time, numbers, and what strangers wrote."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime

_TURNS_TEXT_AROUND = "\u202a-\u202e\u2066-\u2069"
_INERT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS_TEXT_AROUND}\ud800-\udfff\ufff9-\ufffb]")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MIB, _GIB = 1 << 20, 1 << 30
_ROUNDING = 1e-6
_THOUSAND, _MILLION = 10_000, 1_000_000


def inert(text: str) -> str:
    """Return a text without what controls a screen or turns its surroundings around; marks that scripts need stay.

    It has as many characters as before: marks in a text are counted in them.
    """
    # A browser makes one character of the two that end a line elsewhere.
    return _INERT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", " \n"))


def as_json(value: object, indent: int | None = None) -> str:
    """Return a value as JSON that people read; what `inert` would take out of it is escaped, so that it says the same."""
    told = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent)
    return _INERT.sub(lambda found: f"\\u{ord(found[0]):04x}", told)


def moment(value: datetime | None) -> str:
    """Return a moment in UTC, to the minute; empty for none."""
    return f"{value:%Y-%m-%d %H:%M}" if value is not None else ""


def ago(value: datetime | None, now: datetime) -> str:
    """Return how long ago something was, roughly; empty for none."""
    if value is None:
        return ""
    seconds = (now - value).total_seconds()
    return "just now" if seconds < _MINUTE else f"{span(seconds - seconds % _MINUTE)} ago"


def span(seconds: float | None) -> str:
    """Return a span of time in one or two units; empty for none."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min" + (f" {whole % _MINUTE} s" if whole < 10 * _MINUTE and whole % _MINUTE else "")
    if whole < _DAY:
        return f"{whole // _HOUR} h" + (f" {whole % _HOUR // _MINUTE} min" if whole % _HOUR >= _MINUTE else "")
    return f"{whole // _DAY} d" + (f" {whole % _DAY // _HOUR} h" if whole < 10 * _DAY and whole % _DAY >= _HOUR else "")


def count(value: float | None) -> str:
    """Return a whole number with separators, short from 10,000 on; a dash for none."""
    if value is None:
        return "–"
    if abs(value) >= _MILLION:
        return f"{value / _MILLION:.2f} M"
    return f"{value / 1_000:.1f} k" if abs(value) >= _THOUSAND else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate; a dash for none."""
    if not value:
        return "–" if value is None else "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"  # noqa: PLR2004 - digits worth showing


def weight(value: float) -> str:
    """Return a sum of weights: rounded down, because 99.97 does not start what 100 does."""
    return f"{math.floor(value * 10 + _ROUNDING) / 10:g}"


def score(value: float | None) -> str:
    """Return a score or a gain as people read it; a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"  # noqa: PLR2004 - as above


def signed(value: float | None) -> str:
    """Return a gain with its sign; a dash for none."""
    return "–" if value is None else f"{value:+.4f}" if abs(value) < 10 else f"{value:+.4g}"  # noqa: PLR2004 - as above


def size(value: float) -> str:
    """Return bytes in MiB or GiB."""
    return f"{value / _GIB:.1f} GiB" if value >= _GIB else f"{value / _MIB:.1f} MiB"
