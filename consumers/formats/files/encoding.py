"""Which encoding a file of text is in: what its first bytes say, else UTF-8, else what its bytes look like."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from charset_normalizer import from_bytes

from config.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_HEAD_BYTES = 4_096
_SAMPLE_BYTES = 1 << 16
_EXCERPT_CHARS = 40
_MOSTLY = 0.3
_MOST_ACCENTS = 0.65
# What spreadsheets and older systems write where the script is not Latin.
_CODE_PAGES = (
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
)  # fmt: skip
_LATIN = ("cp1252", "cp1250", "iso8859_2")
"""The likelier first."""
_BEFORE_WINDOWS = ("cp850", "mac_roman")
_WORD = re.compile(rb"[^\s,;]*[\x80-\xff][^\s,;]*")
"""Words of another script; those in ASCII beside them tell nothing."""
_RUN = re.compile(rb"[\x80-\xff]{3,}")
_MOST_IN_RUNS = 0.6
_TURKISH = (frozenset("þð"), frozenset("çü"), frozenset("þðçüýöâîû"))
"""As cp1252 has them: ş and ğ, what stands in Turkish and not in Icelandic, and all letters with marks that Turkish has."""
_IN_WORDS = re.compile(
    r"(?<=[^\W\d_])[^\w\s’'`´·.,:;/\\|\-–—…()\[\]\"“”„»«@&+*=_](?=[^\W\d_])|(?<=[^\W\d_])(?<!\bm)(?<!\b[kcdm]m)[²³¹]|[²³¹](?=[^\W\d_])"
)
"""Symbols between letters, and raised digits at a word that is not a unit."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How bytes become text, and what there is to say about it (nothing where it is UTF-8)."""

    name: str
    said: str | None = None


def named(name: str) -> Encoding:
    """Return the encoding that a user names. Raises `UserError` when there is none of that name."""
    try:
        info = codecs.lookup(name)
        b"a".decode(name)
    except (LookupError, ValueError):
        info = None
    if info is None and not name.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        message = f"--encoding {name!r} is not known; usual ones are utf-8, utf-16, cp1252, latin-1, shift_jis and gb18030"
        raise UserError(message)
    # As UTF-8 it may begin with a mark all the same.
    return Encoding("utf-8-sig" if info is not None and info.name == "utf-8" else name)


def recognise(content: BinaryIO, *, guess: bool) -> Encoding:
    """Return the encoding of a whole file. Without `guess` (JSON, which is UTF-8 by its standard) only marks are looked at.

    A file with a line in UTF-8 beyond ASCII is UTF-8: its other lines are then bad rows, not text in another encoding.
    """
    head = content.read(_HEAD_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name, None if name == "utf-8-sig" else f"encoding: {name.upper()}, as its first bytes say")
    for odd, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 1 and head[odd::2].count(0) > _MOSTLY * len(head[odd::2]) and not head[1 - odd :: 2].count(0):
            return Encoding(name, f"encoding: {name.upper()}, as its bytes look")
    if not guess:
        return Encoding("utf-8-sig")
    sample = _lines_in_no_utf8(head, content)
    return _guessed(sample) if sample else Encoding("utf-8-sig")


def _lines_in_no_utf8(head: bytes, content: BinaryIO) -> bytes:
    """Return the first lines that are not UTF-8, nothing when there is none or when others are UTF-8 beyond ASCII."""
    sample: list[bytes] = []
    size = 0
    rest = head + content.readline()
    while rest:
        for line in rest.splitlines():
            if line.isascii():
                continue
            try:
                line.decode()
            except UnicodeDecodeError:
                if size < _SAMPLE_BYTES:
                    sample.append(line[:_SAMPLE_BYTES])
                    size += len(line)
            else:
                return b""
        rest = content.readline()
    return b"\n".join(sample)


def _guessed(sample: bytes) -> Encoding:
    name = "cp1252"
    # Single letters beyond ASCII are Latin with accents, whatever statistics make of them.
    beyond = sum(byte >= 0x80 for byte in sample)  # noqa: PLR2004 - ASCII ends there
    in_runs = sum(map(len, _RUN.findall(sample)))
    if in_runs > _MOST_IN_RUNS * beyond or beyond > _MOST_ACCENTS * (
        beyond + sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    ):
        name = _likeliest(sample, _CODE_PAGES) or name
    else:
        name = _latin(sample)
    try:
        text = sample.decode(name)
    except UnicodeDecodeError:
        return Encoding("utf-8-sig")
    start = max(next((index for index, character in enumerate(text) if not character.isascii()), 0) - 10, 0)
    excerpt = text[start : start + _EXCERPT_CHARS].splitlines()[0]
    return Encoding(name, f"encoding: {name} as it looks (it is not UTF-8), e.g. {excerpt!r}; if that is wrong, give --encoding")


def _likeliest(sample: bytes, encodings: Sequence[str]) -> str | None:
    """Return the encoding whose text looks most like a language; None when none of them fits."""
    found = from_bytes(b" ".join(_WORD.findall(sample)), cp_isolation=list(encodings))
    return max(found, key=lambda one: one.coherence - one.chaos).encoding if len(found) else None


def _latin(sample: bytes) -> str:
    """Return the encoding of a text in Latin letters: cp1252, unless its letters show another."""
    # One capital within a word may be a name's.
    doubtful = not _decodes(sample, "cp1252") or _symbols_in_words(sample, "cp1252") > 1
    candidates = (*_LATIN, *_BEFORE_WINDOWS) if doubtful else _LATIN
    name = min((one for one in candidates if _decodes(sample, one)), key=lambda one: _symbols_in_words(sample, one))
    accents = {letter for letter in sample.decode(name).lower() if not letter.isascii() and letter.isalpha()}
    own, shared, every = _TURKISH
    return "cp1254" if name == "cp1252" and accents & own and accents & shared and accents <= every else name


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _symbols_in_words(sample: bytes, encoding: str) -> int:
    """Return how many symbols and capitals would stand where small letters are expected; Polish read as cp1252 has many."""
    text = sample.decode(encoding, "replace")
    capitals = sum(one.islower() and two.isupper() and not two.isascii() for one, two in itertools.pairwise(text))
    return len(_IN_WORDS.findall(text)) + capitals
