"""Refuses XML that defines entities of its own: a few bytes of them stand for gigabytes, and no feed or sitemap needs any."""

from __future__ import annotations

import codecs
import re

_ENTITY = "<!ENTITY"
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_BOMS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def refuse(body: bytes, url: str) -> None:
    """Raise `ValueError`, in words, where `body` defines entities, or is in an encoding in which that cannot be told."""
    wide = _wide(body)
    if _ENTITY.encode() in body or (wide is not None and _ENTITY in body.decode(wide, "ignore")):
        message = f"{url} defines XML of its own, which no feed or sitemap needs; it was not read"
        raise ValueError(message)
    if wide is not None:
        return
    declared = _DECLARED.match(body.removeprefix(codecs.BOM_UTF8))
    if declared is None:
        return
    name = declared[1].decode()
    try:
        same = _ENTITY.encode(name) == _ENTITY.encode()
    except (LookupError, UnicodeError):
        same = False
    if not same:
        message = f"{url} is in the encoding {name}, which is not read here; it was not read"
        raise ValueError(message)


def _wide(body: bytes) -> str | None:
    """Return the encoding of a text of two bytes a character, None where it is none."""
    for bom, name in _BOMS:
        if body.startswith(bom):
            return name
    return {b"<\x00": "utf-16-le", b"\x00<": "utf-16-be"}.get(body[:2])
