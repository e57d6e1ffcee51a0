"""XML as text, in the encoding that it says of itself."""

from __future__ import annotations

import codecs
import re
from email.message import Message

from consumers.collecting.fetching import Fetched
from consumers.collecting.references import NO_XML

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (b"<\x00\x00\x00", "utf-32-le"),
    (b"\x00\x00\x00<", "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"),
)  # fmt: skip
"""How a text of several bytes a character begins; those of four come first, for they begin like those of two."""
_EBCDIC = b"\x4c\x6f\xa7\x94"
"""`<?xm` as mainframes write it."""
_PROBE = rb"<!ENTITY \x3c \u003c +ADw- ~{"
"""Markup, and what is markup in other words where an encoding has such."""
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "iso8859-1": "cp1252", "ascii": "cp1252"}
"""Encodings under whose names larger ones are written."""


def text_of(found: Fetched, body: bytes) -> str:
    """Return the text of `body`, what `found` holds unpacked, without characters that XML does not know.

    Raises `ValueError`, in words, where it is in an encoding that is not read.
    """
    wide = _wide(body)
    name = wide or _declared(body) or _known(_charset(found)) or "utf-8"
    if wide is None:
        _refuse_other(name, found.url)
        name = codecs.lookup(name).name
    text = body.decode(_LARGER.get(name, name), "replace")
    return NO_XML.sub("", text.removeprefix("\ufeff")).lstrip()


def markup_of(found: Fetched) -> tuple[str, str]:
    """Return a text with the markup of `found`, and the encoding that makes bytes of it again.

    That is UTF-8 where the whole text could be told, else Latin-1: other letters are wrong in the text and right in the bytes.
    Raises `ValueError`, in words, where markup cannot be told.
    """
    if (wide := _wide(found.body)) is not None:
        return found.body.decode(wide, "replace").removeprefix("\ufeff"), "utf-8"
    for name in filter(None, (_declared(found.body), _known(_charset(found)))):
        _refuse_other(name, found.url)
    return found.body.decode("latin-1"), "latin-1"


def _wide(body: bytes) -> str | None:
    return next((name for start, name in _WIDE if body.startswith(start)), None)


def _declared(body: bytes) -> str | None:
    if body.startswith(_EBCDIC):
        return "cp037"
    declared = _DECLARED.match(body.removeprefix(codecs.BOM_UTF8))
    return declared[1].decode() if declared else None


def _charset(found: Fetched) -> str | None:
    """Return the encoding that a server tells."""
    said = Message()
    said["content-type"] = found.headers.get("content-type", "")
    return said.get_content_charset()


def _known(name: str | None) -> str | None:
    """Return a name if it is one of an encoding."""
    try:
        return name and codecs.lookup(name).name
    except LookupError:
        return None


def _refuse_other(name: str, url: str) -> None:
    """Raise `ValueError` for an encoding in which markup is not written as in ASCII, or that nobody knows."""
    try:
        same = _PROBE.decode(name).count("<") == 1 and _PROBE.decode(name).startswith("<!ENTITY ")
    except (LookupError, UnicodeError):
        same = False
    if not same:
        message = f"{url} is in the encoding {name}, which is not read here; it was not read"
        raise ValueError(message)
