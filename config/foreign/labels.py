"""What a label is, wherever one is written: in events, task files, imports and answers.

Written differently and looking the same, a label is one label: it is kept in Unicode's composed form (NFC), without white space
around it, and with one plain space where white space stands inside. What cannot be seen is refused, not removed: whoever sends it
should know that it is there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from config.foreign.characters import SPACES, VISIBLE, first_invisible, in_json_schema, spelt_out, without_invisible

MAX_LABEL_CHARS = 200
_OUTER = r" \t\r\n"
_WHITE = re.compile(rf"[ {SPACES}]+")
LABEL_PATTERN = rf"^[{_OUTER}]*(?![ {SPACES}{_OUTER}]*$)(?:{VISIBLE})+[{_OUTER}]*(?![\s\S])"
"""What `label` takes, but for the length."""


def label(text: str) -> str:
    """Return the label that a text stands for. Raises `ValueError` saying what is wrong with it."""
    if len(text) > MAX_LABEL_CHARS:
        message = f"the label has {len(text)} characters; at most {MAX_LABEL_CHARS} are allowed; shorten it"
        raise ValueError(message)
    inside = text.strip(" \t\r\n")
    if (hidden := first_invisible(inside)) is not None:
        message = f"the label contains an invisible character, {hidden}; remove it, so that equal labels look equal"
        raise ValueError(message)
    written = _tidy(inside)
    if not written:
        message = "it is empty or only white space; fill it in or leave it out"
        raise ValueError(message)
    if len(written) > MAX_LABEL_CHARS:
        message = f"the label has {len(written)} characters in Unicode's form NFC; at most {MAX_LABEL_CHARS} are read; shorten it"
        raise ValueError(message)
    return written


@lru_cache(maxsize=10_000)
def label_of_stored(text: str) -> str:
    """Return the label that a text kept by an earlier version stands for, which may hold anything. Never raises.

    What such a version took for labels of their own joins the label that looks the same.
    """
    return _tidy(without_invisible(text))[:MAX_LABEL_CHARS].strip() or spelt_out(text)[:MAX_LABEL_CHARS]


def meant_once(value: object) -> object:
    """Return a mapping from labels as it was given. Raises `ValueError` where one label, in two spellings, means two things."""
    means: dict[str, tuple[str, object]] = {}
    for name, meaning in value.items() if isinstance(value, Mapping) else ():
        said = [_read(one) for one in meaning] if isinstance(meaning, list | tuple) else _read(meaning)
        earlier, before = means.setdefault(str(_read(name)), (name, said))
        if before != said:
            message = f"{earlier!r} and {name!r} are one label, but mean different things; keep one of them"
            raise ValueError(message)
    return value


def different(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels of which no two are the same. Raises `ValueError`."""
    twice = next((one for one, count in Counter(labels).items() if count > 1), None)
    if twice is not None:
        message = f"{twice!r} is there twice; each label is named once"
        raise ValueError(message)
    return labels


def _read(name: object) -> object:
    """Return the label that a name stands for; one that is none stays as it is, for whoever checks each."""
    try:
        return label(name) if isinstance(name, str) else name
    except ValueError:
        return name


def _tidy(text: str) -> str:
    return _WHITE.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


LabelName = Annotated[
    str,
    AfterValidator(label),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_LABEL_CHARS, "pattern": in_json_schema(LABEL_PATTERN)}),
    Field(description="A label: visible characters; read in Unicode's form NFC and without white space around it."),
]
"""A label, as a field of a model."""
