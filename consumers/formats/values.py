"""From a value of a file to a text, a label, an id or a whole number. Other values are refused, never turned into text.

Every function raises ValueError saying what stands there and what is expected.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from config.foreign.characters import shows_nothing
from config.foreign.labels import label as written
from consumers.formats.rows import Unreadable

_EXCERPT_CHARS = 40
_MISSING_WORDS = frozenset(
    {"nan", "<na>", "nat", "null", "\\n", "#n/a", "#name?", "#value!", "#ref!", "#num!", "#null!", "#div/0!"}
)
"""What tools write for a value that is not there."""
_NO_TEXT = _MISSING_WORDS | {"na", "n/a"}
"""The same and what R writes, which may be a label but no text."""
_NO_ID = _NO_TEXT | {"none"}
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ARRAY = re.compile(rf"\[\s*(?:{_QUOTED}|-?[\d.]+)(?:\s+(?:{_QUOTED}|-?[\d.]+))+\s*\]", re.DOTALL)
"""A list as NumPy writes it: no commas. Python would join its texts to one."""
_WORDS = re.compile(r"\[\s*(?:nan|[^\W\d_][\w'’.-]*(?:\s*,\s*[^\W\d_][\w'’.-]*)+)\s*\]", re.IGNORECASE)
"""A list of single words without quotes, as Java writes it."""
_ARRAY_CALL = re.compile(r"(?:np\.|numpy\.)?array\(\s*(\[.*\])\s*(?:,\s*dtype=[^,()]+)?\)", re.DOTALL)
_BYTES = re.compile(rf"[bB](?:{_QUOTED})", re.DOTALL)
_IN_LISTS = re.compile(rf"(?:np|numpy)\.\w+\(({_QUOTED}|[^()'\"]*)\)|{_QUOTED}|\bnan\b", re.DOTALL)
"""What stands in lists and is no literal: numbers and texts of NumPy by their type, and NaN. Texts are found, and stay."""
_WHOLE_DECIMAL = re.compile(r"-?\d+\.0+", re.ASCII)
_EXACT_BELOW = 2**53
"""From here on a number with a decimal point stands for several whole ones."""
_FALSE = "false"
_TRUE = "true"


def missing(value: object) -> bool:
    """Return whether nothing stands there: None, NaN, or a text without a character."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def is_missing_word(text: str) -> bool:
    """Return whether a text is what tools write for a value that is not there."""
    return text.strip().lower() in _NO_TEXT


def shown(value: object) -> str:
    """Return a value for a message: its kind and a short excerpt without control characters."""
    excerpt = repr(value[: _EXCERPT_CHARS + 1] if isinstance(value, str | bytes | list) else value)
    excerpt = excerpt if len(excerpt) <= _EXCERPT_CHARS else f"{excerpt[:_EXCERPT_CHARS]}…"
    return f"{kind_of(value)} ({excerpt})"


def kind_of(value: object) -> str:
    """Return what a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and math.isnan(value):
        return "not a number (NaN)"
    names: Mapping[type, str] = {
        type(None): "nothing", str: "a text", int: "a number", float: "a number", Decimal: "a number",
        list: "a list", tuple: "a list", dict: "an object", bytes: "bytes",
    }  # fmt: skip
    return names.get(type(value), f"a {type(value).__name__}")


def read_text(value: object) -> str:
    """Return a text as it stands, never stripped (spans count from the first character); nothing there is the empty text."""
    text = read_token(value)
    if text.strip().lower() in _NO_TEXT:
        message = f"the text is {text.strip()!r}, which stands for a missing value; leave it empty"
        raise ValueError(message)
    inside = unpacked(text)
    literal = inside is not text
    if literal:
        message = f"it is {kind_of(inside)} written as text ({text[:_EXCERPT_CHARS]!r}); the text itself is expected"
        raise ValueError(message)
    return text


def read_token(value: object) -> str:
    """Return a text, whatever it says: the word "null" is one. Nothing there is the empty text."""
    if missing(value):
        return ""
    if isinstance(value, Unreadable):
        raise ValueError(value.reason)  # noqa: TRY004 - one error type for whatever a file may hold
    if not isinstance(value, str):
        message = f"it is {shown(value)}; a text is expected"
        raise ValueError(message)  # noqa: TRY004 - one error type for whatever a file may hold
    return _whole_text(value)


def is_whole_decimal(text: str) -> bool:
    """Return whether a text is a whole number with a decimal point, as a column with gaps is written: 123.0."""
    return _WHOLE_DECIMAL.fullmatch(text.strip()) is not None


def blank(text: str) -> bool:
    """Return whether a text shows nothing: white space, control and invisible characters only."""
    return shows_nothing(text)


def read_id(value: object) -> str | None:
    """Return an id as text: a whole number keeps no decimal point. None where there is none."""
    if missing(value):
        return None
    if isinstance(value, str):
        return None if value.strip().lower() in {"", *_NO_ID} else _whole_text(value)
    number = _whole(value)
    if number is None:
        raise ValueError(
            value.reason if isinstance(value, Unreadable) else f"it is {shown(value)}; an id is a text or a whole number"
        )
    return f"{number:d}"


def read_whole(value: object) -> int:
    """Return a whole number; 9.0 is accepted, `"9"`, true and 9.5 are not."""
    number = _whole(value)
    if number is None:
        message = f"it is {shown(value)}; a whole number is expected"
        raise ValueError(message)
    return number


def whole_or_none(value: object) -> int | None:
    """Return the whole number that a value is, 9.0 too; None where it is none."""
    try:
        return _whole(value)
    except ValueError:
        return None


def read_number(value: object) -> float:
    """Return a number; a text may hold one as JSON writes it. True, `"nan"` and infinity are not accepted."""
    try:
        number = json.loads(value) if isinstance(value, str) else value
        if isinstance(number, int | float | Decimal) and not isinstance(number, bool) and math.isfinite(number):
            return float(number)
    except (ValueError, RecursionError, OverflowError):
        pass
    message = value.reason if isinstance(value, Unreadable) else f"it is {shown(value)}; a number is expected"
    raise ValueError(message)


def read_label(value: object, names: Mapping[str, str] | None = None) -> str:
    """Return the one label that `value` is, as `names` (label in the file -> label here) calls it; the empty text drops it.

    A list of one label is that label, `{"choices": [...]}` is Label Studio's, a text may hold either as JSON. A whole number is
    its digits; true and false must be named in `names`.
    """
    value = _choices(value)
    if isinstance(value, list | tuple):
        value = _only(value)
    return _named(value, names or {})


def read_labels(value: object, names: Mapping[str, str] | None = None) -> list[str]:
    """Return the labels that `value` lists, in order, as `names` calls them and without those that it drops.

    A list may be written as JSON, Python or NumPy do; `{"choices": [...]}` is Label Studio's. A text is divided at `|` and `;`: a
    comma may be part of a label. An empty list has no label.
    """
    value = _choices(value)
    if isinstance(value, str):
        value = [part for part in re.split(r"[|;]", value) if part.strip()] or [value]
    elif not isinstance(value, list | tuple):
        value = [value]
    return [name for one in value if (name := _named(_inner(one), names or {}))]


def _named(value: object, names: Mapping[str, str]) -> str:
    label = _plain_label(value, names)
    if label in names:
        return names[label]
    if label.strip().lower() in _MISSING_WORDS:
        message = f"the label is {label.strip()!r}, which stands for a missing value; --label-map {label.strip()}=NAME takes it"
        raise ValueError(message)
    return label


def _choices(value: object) -> Any:  # noqa: ANN401 - whatever the file holds
    value = unpacked(value)
    return value["choices"] if isinstance(value, dict) and value.keys() == {"choices"} else value


def unpacked(value: object) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a text holds that is wholly a list, an object, a tuple, an array or bytes; any other value as it is.

    These are written as JSON, Python or NumPy do; a list also as Java does, of single words without quotes.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    found: object = None
    match text[:1] + text[-1:]:
        case "[]" | "{}":
            found = _listed(text)
        case "()":
            found = _literal(text)
            found = found if isinstance(found, tuple) else None
        case "b'" | 'b"' | "B'" | 'B"':
            found = _literal(text) if _BYTES.fullmatch(text) else None
        case "a)" | "n)":
            found = _listed(array[1]) if (array := _ARRAY_CALL.fullmatch(text)) else None
    return value if found is None else found


def _listed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if _WORDS.fullmatch(text):
        return [None if word.lower() in _MISSING_WORDS else word for word in re.findall(r"[^\s\[\],]+", text)]
    if array := _ARRAY.fullmatch(text):
        return [_literal(one) for one in re.findall(rf"{_QUOTED}|[^\s\[\]]+", array[0], re.DOTALL)]
    return _literal(_IN_LISTS.sub(lambda found: found[1] or ("None" if found[0] == "nan" else found[0]), text))


def _literal(text: str) -> object:
    """Return what a text means in Python, None where it means nothing."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _only(values: list[Any] | tuple[Any, ...]) -> object:
    if len(values) == 1:
        return _inner(values[0])
    if not values:
        message = "there is no label"
        raise ValueError(message)
    message = f"there are {len(values)} labels ({', '.join(map(_in_list, values[:5]))}); this task takes one label a text"
    raise ValueError(message)


def _inner(value: object) -> object:
    """Return a label of a list: older doccano writes each as an object of its own."""
    return value["label"] if isinstance(value, dict) and "label" in value and "start_offset" not in value else value


def _in_list(value: object) -> str:
    return repr(value)[:_EXCERPT_CHARS]


def _plain_label(value: object, names: Mapping[str, str]) -> str:
    if isinstance(value, Unreadable):
        raise ValueError(value.reason)  # noqa: TRY004 - one error type for whatever a file may hold
    if missing(value):
        message = "the label is empty" if value == "" else f"the label is {kind_of(value)}"
        raise ValueError(message)
    if isinstance(value, str):
        if not value.strip():
            message = "the label is empty"
            raise ValueError(message)
        if value not in names and (inside := unpacked(value)) is not value:
            message = f"it is {kind_of(inside)} written as text ({value[:_EXCERPT_CHARS]!r}); the label itself is expected"
            raise ValueError(message)
        return written(_whole_text(value))
    if isinstance(value, bool):
        word = _TRUE if value else _FALSE
        if word not in names:
            message = f"the label is {word}; give it a name, e.g. --label-map {_TRUE}=yes,{_FALSE}=no"
            raise ValueError(message)
        return word
    number = _whole(value)
    if number is None:
        message = f"the label is {shown(value)}; a text or a whole number is expected"
        raise ValueError(message)
    return f"{number:d}"


def _whole_text(text: str) -> str:
    """Return a text that Unicode can write. JSON can write half a character, as a cut emoji is."""
    half = None if text.isascii() else next((index for index, one in enumerate(text) if "\ud800" <= one <= "\udfff"), None)
    if half is not None:
        message = f"character {half} is half of a surrogate pair (\\u{ord(text[half]):04x}), which is not Unicode text"
        raise ValueError(message)
    return text


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, float | Decimal) or not math.isfinite(value) or value != int(value):
        return None
    if isinstance(value, float) and abs(value) >= _EXACT_BELOW:
        message = (
            f"it is {shown(value)} with a decimal point, so large that several whole numbers look alike; write the column as text"
        )
        raise ValueError(message)
    return int(value)
