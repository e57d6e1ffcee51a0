"""The fields of an article that nobody here knows: kept with it, within bounds, so that none of them costs the event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

MAX_EXTRA_BYTES = 16_384
"""Of all such fields of an article together, as JSON in UTF-8."""
MAX_EXTRA_DEPTH = 8
MAX_NAME_CHARS = 200
_MAX_NAMED = 20


def kept(fields: Mapping[str, object]) -> str | None:
    """Return the fields as JSON, None where there are none; those beyond a bound are left out, and named.

    `{"fields": {"author": "..."}, "left_out": ["raw_html"]}`: smaller fields come first, so that one large one does not cost the
    others. At most 20 are named.
    """
    if not fields:
        return None
    whole: dict[str, object] = {}
    left_out: list[str] = []
    room = MAX_EXTRA_BYTES
    written = {name: _written(value) for name, value in fields.items()}
    for name, text in sorted(written.items(), key=lambda item: len(item[1] or "")):
        size = len(json.dumps(name, ensure_ascii=False).encode()) + len((text or "").encode()) + 2
        if text is None or len(name) > MAX_NAME_CHARS or size > room:
            left_out.append(name[:MAX_NAME_CHARS])
        else:
            whole[name] = fields[name]
            room -= size
    in_order = {name: whole[name] for name in fields if name in whole}
    told = {"fields": in_order} | ({"left_out": sorted(left_out)[:_MAX_NAMED]} if left_out else {})
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _written(value: object) -> str | None:
    """Return a value as JSON, None where it is nested too deeply."""
    return None if _is_deep(value) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_EXTRA_DEPTH):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return False
    return True


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
