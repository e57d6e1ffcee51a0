"""References to characters in XML, such as `&#8211;`: one that stands for none costs that character, not the whole text."""

from __future__ import annotations

import re
from html.entities import html5

_NUMBERS = re.compile(r"(?:&#(?:[xX][0-9a-fA-F]+|[0-9]+);?)+")
_NUMBER = re.compile(r"&#(?:[xX]0*(?P<hex>[0-9a-fA-F]+)|0*(?P<decimal>[0-9]+));?")
_LAST = 0x10FFFF
_MOST_DIGITS = 8
_UNKNOWN = "\ufffd"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not know."""
_OTHERS = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|&(?!#[0-9]+;|#x[0-9a-fA-F]+;)(?P<name>[A-Za-z][A-Za-z0-9]{0,30};)?",
    re.DOTALL,
)
_OF_XML = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})


def joined(text: str) -> str:
    """Return a text in which the numbers of two halves of a pair are one, and those of no character are left out or U+FFFD."""
    return _NUMBERS.sub(_joined, text)


def of_xml(text: str) -> str:
    """Return a text whose references are all ones that XML knows: HTML's names as numbers, a bare `&` as `&amp;`."""
    return _OTHERS.sub(_of_xml, joined(text))


def _joined(found: re.Match[str]) -> str:
    said = "".join(map(_character, _NUMBER.finditer(found[0])))
    if _UNKNOWN not in said and not NO_XML.search(said):
        return found[0]
    whole = said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _numbered(NO_XML.sub("", whole))


def _character(found: re.Match[str]) -> str:
    digits, base = (found["hex"], 16) if found["hex"] else (found["decimal"], 10)
    number = int(digits, base) if len(digits) <= _MOST_DIGITS else _LAST + 1
    return chr(number) if number <= _LAST else _UNKNOWN


def _of_xml(found: re.Match[str]) -> str:
    if found[0].startswith("<") or found["name"] in _OF_XML:
        return found[0]
    characters = html5.get(found["name"] or "")
    return _numbered(characters) if characters else f"&amp;{found['name'] or ''}"


def _numbered(text: str) -> str:
    return "".join(f"&#{ord(one)};" for one in text)
