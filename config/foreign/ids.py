"""Ids that others have given: of articles, users, predictions, events and documents.

Whatever can be printed is an id: a URL with its query, `tag:` and `urn:` URIs, `auth0|x`, an e-mail address, letters of any
script. It is compared in Unicode's composed form (NFC) and changed in no other way: no decoding of `%`, no folding of case.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from config.foreign.characters import SPACES, VISIBLE, first_invisible, in_json_schema

MAX_ID_BYTES = 512
ID_PATTERN = rf"^(?! )(?:(?![{SPACES}])(?:{VISIBLE}))+(?<! )(?![\s\S])"
"""What `foreign_id` takes, but for the length."""


def foreign_id(text: str) -> str:
    """Return an id in the form it is compared in. Raises `ValueError` saying what is wrong with it."""
    if not text.strip():
        message = "the id is empty or only white space; send one, or leave the field out"
        raise ValueError(message)
    hidden = first_invisible(text)
    if hidden is None:
        hidden = next((f"U+{ord(one):04X} {unicodedata.name(one)}" for one in text if one.isspace() and one != " "), None)
    if hidden is not None:
        message = f"the id contains an invisible or ambiguous character, {hidden}; remove it"
        raise ValueError(message)
    if text != text.strip(" "):
        message = "the id begins or ends with a space; remove it"
        raise ValueError(message)
    written = unicodedata.normalize("NFC", text)
    size = max(len(text.encode()), len(written.encode()))
    if size > MAX_ID_BYTES:
        message = f"the id has {size} bytes in UTF-8; at most {MAX_ID_BYTES} are allowed; shorten it, or send its SHA-256"
        raise ValueError(message)
    return written


ForeignId = Annotated[
    str,
    AfterValidator(foreign_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": in_json_schema(ID_PATTERN)}),
    Field(description=f"Any printable string of at most {MAX_ID_BYTES} bytes in UTF-8; compared in Unicode's form NFC."),
]
"""An id, as a field of a model."""
