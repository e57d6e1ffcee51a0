"""Which encoding a file of text is in: what its first bytes say, else UTF-8, else what its bytes look like."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import regex
from charset_normalizer import from_bytes

from config.errors import UserError
from consumers.formats.files.alphabets import Reading, better, readings

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
_CYRILLIC = ("cp1251", "koi8_r", "iso8859_5", "cp866", "mac_cyrillic")
_CODE_PAGES = (*_CYRILLIC, "cp1253", "cp1255", "cp1256", "cp874", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1257", "cp1254", "iso8859_15", "iso8859_16", "cp850", "mac_roman")
_LESS_LIKELY = {"cp1252": 0.0, "cp850": 0.45, "mac_roman": 0.45}
_ELSE_LESS_LIKELY = 0.15
"""Cp1252 is by far the most frequent; what came before Windows needs the clearest signs."""
_CLEARLY = 0.1
_WORD = re.compile(rb"[^\s,;]*[\x80-\xff][^\s,;]*")
"""Words of another script; those in ASCII beside them tell nothing."""
_RUN = re.compile(rb"[\x80-\xff]{3,}")
_MOST_IN_RUNS = 0.6
_LETTERS = regex.compile(r"\p{L}{2,}")
_ODD_SIGNS = regex.compile(
    r"[^\x00-\x7f\p{L}\p{M}\p{Nd}\s‘“„«‹–—•№](?=\p{Cyrillic})|(?<=\p{Cyrillic})[^\x00-\x7f\p{L}\p{M}\s’”“»›–—…]|ƒ"
)
"""Signs that do not open a word, at its beginning, and such as do not close one, at its end."""
_FEW_BYTES = 8
_CAPITALS_ALONE = 0.25
"""How much a word in capitals is less likely than one in small letters."""


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

    Raises `UserError` when several are as likely. A file with a line in UTF-8 beyond ASCII is UTF-8: its other lines are then
    bad rows, not text in another encoding.
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
    """Return the encoding of lines that are not UTF-8. Raises `UserError` when it is not clear."""
    # Single letters beyond ASCII are Latin with accents, whatever statistics make of them.
    beyond = sum(byte >= 0x80 for byte in sample)  # noqa: PLR2004 - ASCII ends there
    in_runs = sum(map(len, _RUN.findall(sample)))
    if in_runs > _MOST_IN_RUNS * beyond or beyond > _MOST_ACCENTS * (
        beyond + sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    ):
        name = _likeliest(sample, _CODE_PAGES) or _latin(sample)
    else:
        name = _latin(sample)
    try:
        text = sample.decode(name)
    except UnicodeDecodeError:
        return Encoding("utf-8-sig")
    at = next((index for index, character in enumerate(text) if not character.isascii()), 0)
    return Encoding(
        name, f"encoding: {name} as it looks (it is not UTF-8), e.g. {_excerpt(text, at)!r}; if that is wrong, give --encoding"
    )


def _likeliest(sample: bytes, encodings: Sequence[str]) -> str | None:
    """Return the encoding whose text looks most like a language; None when none of them fits.

    Raises `UserError` when two Cyrillic ones fit as well, or any two fit a few bytes.
    """
    words = b" ".join(_WORD.findall(sample))
    found = from_bytes(words, cp_isolation=list(encodings))
    scores = {one.encoding: one.coherence - one.chaos - _odd_words(sample.decode(one.encoding, "replace")) for one in found}
    ranked = sorted(scores, key=lambda name: -scores[name])
    first, second = (*ranked, None, None)[:2]
    is_short = len(words) < _FEW_BYTES
    alike = first in _CYRILLIC and second in _CYRILLIC
    if first and second and (is_short or alike) and scores[first] - scores[second] < _CLEARLY:
        _refuse(sample, first, second)
    return first


def _odd_words(text: str) -> float:
    """Return the share of words with capitals behind small letters or odd signs: what the wrong one of two Cyrillic pages has."""
    words = [word for word in _LETTERS.findall(text) if not word.isascii()]
    odd = len(_ODD_SIGNS.findall(text)) + sum(
        _CAPITALS_ALONE if word.isupper() else 1.0 for word in words if word.lower() not in (word, word[0].lower() + word[1:])
    )
    return odd / max(len(words), 1)


def _latin(sample: bytes) -> str:
    """Return the encoding of a text in Latin letters. Raises `UserError` when another one is as likely."""
    found = readings(sample, _LATIN)
    leads = {one.page: min((_lead(one, other) for other in found if other is not one), default=1.0) for one in found}
    first, *others = sorted(leads, key=lambda page: -leads[page])
    if leads[first] < _CLEARLY:
        _refuse(sample, first, others[0])
    return first


def _lead(one: Reading, other: Reading) -> float:
    less, others_less = (_LESS_LIKELY.get(page, _ELSE_LESS_LIKELY) for page in (one.page, other.page))
    return better(one, other) + others_less - less


def _refuse(sample: bytes, one: str, other: str) -> NoReturn:
    texts = [sample.decode(name, "replace") for name in (one, other)]
    at = next((index for index, (left, right) in enumerate(zip(*texts, strict=False)) if left != right), 0)
    first, second = (_excerpt(text, at) for text in texts)
    message = (
        f"the encoding is not clear: it is not UTF-8, and may be {one} ({first!r}) or {other} ({second!r}); "
        "give --encoding, or save the file as UTF-8"
    )
    raise UserError(message)


def _excerpt(text: str, at: int) -> str:
    start = max(at - 10, text.rfind("\n", 0, at) + 1)
    return text[start : start + _EXCERPT_CHARS].splitlines()[0]
