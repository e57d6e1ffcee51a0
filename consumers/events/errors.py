"""What pydantic found wrong with an event, said so that the sender can fix it: field, what is wrong, remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from config.errors import DeadLetterError

_MOST_PROBLEMS = 5
_EXCERPT_CHARS = 80
_LONGEST_FIELD = 200
_TIME = "send ISO 8601 with a zone, e.g. 2024-05-01T12:00:00Z"
# Keyed by pydantic's error type; {field} and {got} are ours, the rest is the error's context.
_REMEDIES: Mapping[str, str] = {
    "missing": "{field} is missing; add it",
    "extra_forbidden": "{field} is not a field of this {noun}; remove it (see `perennial schema`)",
    "timezone_aware": "{field} has no time zone, got {got}; append one, e.g. Z",
    "datetime_type": "{field} is not a time, got {got}; " + _TIME,
    "datetime_parsing": "{field} is not a time ({error}), got {got}; " + _TIME,
    "datetime_from_date_parsing": "{field} is not a time ({error}), got {got}; " + _TIME,
    "datetime_object_invalid": "{field} is not a time ({error}), got {got}; " + _TIME,
    "string_type": "{field} is not a string, got {got}; send a string",
    "string_too_short": "{field} is empty; it needs at least {min_length} character",
    "string_too_long": "{field} is longer than {max_length} characters; shorten it",
    "string_pattern_mismatch": "{field} does not match {pattern}, got {got}; use only those characters",
    "literal_error": "{field} is {got}; send {expected}",
    "int_type": "{field} is not a whole number, got {got}; send one",
    "bool_type": "{field} is neither true nor false, got {got}; send true or false",
    "bool_parsing": "{field} is neither true nor false, got {got}; send true or false",
    "greater_than": "{field} must be greater than {gt}, got {got}; correct the number",
    "greater_than_equal": "{field} must be at least {ge}, got {got}; correct the number",
    "less_than_equal": "{field} must be at most {le}, got {got}; correct the number",
    "float_type": "{field} is not a number, got {got}; send one",
    "dict_type": "{field} is not a JSON object, got {got}; send one",
    "model_type": "{field} is not a JSON object, got {got}; send one",
    "tuple_type": "{field} is not a list, got {got}; send a JSON list",
    "too_short": "{field} is empty; it needs at least {min_length} entry",
}


def explain(error: ValidationError, *, types: Sequence[str] = (), prefix: str = "", noun: str = "event") -> DeadLetterError:
    """Return the dead letter for `error`: every problem in words, the first five at most.

    `types` are the event types when a tagged union was validated; `prefix` is where the validated part stands; `noun` is
    what was validated.
    """
    problems = error.errors(include_url=False)
    found = [_describe(problem, types, prefix, noun) for problem in problems[:_MOST_PROBLEMS]]
    lines = [line for _field, line in found]
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return DeadLetterError("; ".join(lines), field=found[0][0] or None, problems=found)


def _describe(problem: Any, types: Sequence[str], prefix: str, noun: str) -> tuple[str, str]:  # noqa: ANN401 - pydantic's ErrorDetails
    # Where a tagged union was validated, the location begins with the tag, which is not a field.
    parts = problem["loc"][1:] if types else problem["loc"]
    field = (prefix + ".".join(str(part) for part in parts)).rstrip(".")[:_LONGEST_FIELD]
    if problem["type"] == "union_tag_not_found":
        return "type", f"type is missing; send one of {', '.join(types)}"
    if problem["type"] == "union_tag_invalid":
        return "type", f"type is {_excerpt(problem['ctx']['tag'])}, which is unknown; send one of {', '.join(types)}"
    # Our own validators name field and remedy themselves.
    message = problem["msg"].removeprefix("Value error, ")
    remedy = _REMEDIES.get(problem["type"])
    if remedy is not None:
        return field, remedy.format(field=field, noun=noun, got=_excerpt(problem["input"]), **problem.get("ctx", {}))
    return field, f"{field}: {message}" if field else message


def _excerpt(value: object) -> str:
    shown = repr(value[:_EXCERPT_CHARS] if isinstance(value, str) else value)
    return shown if len(shown) <= _EXCERPT_CHARS else f"{shown[:_EXCERPT_CHARS]}…"
