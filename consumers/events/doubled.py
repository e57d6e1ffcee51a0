"""Objects whose names stand once each: JSON readers differ in which of two values they take, so neither is taken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from config.errors import DeadLetterError

_SHOWN_CHARS = 200


def loads(text: str | bytes, **options: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what `text` holds, as `json.loads` does. Raises `DeadLetterError` where a name stands twice in one object."""
    return json.loads(text, object_pairs_hook=_once, **options)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _value in pairs).items() if count > 1)
        field = twice[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode()
        reason = f"{field}: the name stands twice in one object; send it once"
        raise DeadLetterError(reason, field=field)
    return found
