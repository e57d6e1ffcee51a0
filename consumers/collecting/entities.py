"""Refuses XML that defines entities of its own: a few bytes of them stand for gigabytes, and no feed or sitemap needs any."""

from __future__ import annotations

import re

_ENTITY = re.compile("<!ENTITY", re.IGNORECASE)
_PROLOG = re.compile(
    r"""(?P<comment><!--.*?-->)|<\?.*?\?>|<!DOCTYPE(?:[^"'\[<>]|"[^"<]*"|'[^'<]*')*>|(?P<element><\w)|(?P<rest><!--|<\?|<!DOCTYPE)""",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
"""What stands before the first element. The rest: all that follows what does not end, or a DTD that defines something itself."""
_SHIFTS = ("\x1b", "\x0e")
"""What comes behind these may look like markup, and be letters."""


def without(text: str, url: str) -> str:
    """Return the text without the comments before its first element, in which some parsers find entities.

    Raises `ValueError`, in words, where it defines entities. That stands before the first element, or nowhere: behind it the same
    characters are text.
    """
    prolog, end = _prolog(text)
    if any(shift in text for shift in _SHIFTS):
        prolog, end = text, len(text)
    if _ENTITY.search(prolog):
        message = f"{url} defines XML of its own, which no feed or sitemap needs; it was not read"
        raise ValueError(message)
    return prolog + text[end:]


def _prolog(text: str) -> tuple[str, int]:
    """Return what stands before the first element, without comments, and where that begins."""
    kept, at, end = list[str](), 0, len(text)
    for found in _PROLOG.finditer(text):
        if found["element"]:
            end = found.start()
        if found["element"] or found["rest"]:
            break
        if found["comment"]:
            kept.append(text[at : found.start()])
            at = found.end()
    return "".join((*kept, text[at:end])), end
