"""Characters that nobody can see: two names that look alike must not be two names.

The ranges are spelt out rather than asked of `unicodedata`: the same name is then taken or refused by every Python, and by the
published JSON Schemas.
"""

from __future__ import annotations

import re
import unicodedata

# Controls (NUL, tab, line breaks), soft hyphen, grapheme joiner, fillers, zero-width and bidirectional marks, variation
# selectors, the blank of Braille, byte order mark, tags, and the noncharacters, which Unicode will never give a meaning. Beyond
# four hexadecimal digits stand the characters themselves: languages escape those differently.
_INVISIBLE = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
)
SPACES = r"\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""White space within a line, other than the plain space."""
# Persian and Indic words need the joiners: they are read between Arabic letters and behind a virama (as RFC 5892 has it),
# where they show. Anywhere else they are invisible.
_ARABIC = r"\u0620-\u065f\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff"
_VIRAMAS = r"\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u103a\u17d2"
_JOINER = rf"(?<=[{_ARABIC}])[\u200c\u200d](?=[{_ARABIC}])|(?<=[{_VIRAMAS}])[\u200c\u200d]"

VISIBLE = rf"[^{_INVISIBLE}\u200c\u200d]|{_JOINER}"
"""One visible character or white space of any width, as a regular expression."""
SHOWN = rf"[^\s\x1c-\x1f\x85{_INVISIBLE}\u200c\u200d]"
"""One character that is neither white space nor invisible, as a regular expression."""
_UNWANTED = re.compile(rf"(?!{_JOINER})[{_INVISIBLE}\u200c\u200d\ud800-\udfff]")
"""Halves of surrogate pairs too: no JSON Schema can name them, and no text holds one."""


_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SURROGATES = r"\ud800-\udfff"


def in_json_schema(pattern: str) -> str:
    """Return a pattern made of these classes as every reader of JSON Schema understands it: characters instead of escapes.

    The dialects spell escapes differently: eight digits are Python's alone. Halves of surrogate pairs, which some refuse to
    read, are left out: JSON in UTF-8 cannot carry them.
    """
    return _ESCAPE.sub(lambda found: chr(int(found.group(found.lastindex or 0), 16)), pattern.replace(_SURROGATES, ""))


_SHOWN = re.compile(SHOWN)
_SHOWING_NOTHING = ("Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Mn", "Mc", "Me")
"""White space, controls, characters that every program gives a look of its own, and marks, which stand on another character."""


def shows_nothing(text: str) -> bool:
    """Return whether nobody sees anything in a text: white space, invisible characters, and marks that stand on none."""
    return not any(unicodedata.category(found.group()) not in _SHOWING_NOTHING for found in _SHOWN.finditer(text))


def first_invisible(text: str) -> str | None:
    """Return the first character that cannot be seen, in words such as `U+200B ZERO WIDTH SPACE (character 3)`."""
    found = _UNWANTED.search(text)
    if found is None:
        return None
    name = unicodedata.name(found.group(), "")
    return f"U+{ord(found.group()):04X} {name}".rstrip() + f" (character {found.start()})"


def without_invisible(text: str) -> str:
    """Return the text without the characters that cannot be seen."""
    return _UNWANTED.sub("", text)


def spelt_out(text: str) -> str:
    """Return the code points of a text, such as `U+200B U+200D`."""
    return " ".join(f"U+{ord(character):04X}" for character in text)
