"""How fit a text is for training: a score from 0 to 1 with its reasons in words; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from consumers.text import paywalls, words

READ_CHARS = 10_000
"""The rest of a longer text is not checked, so that one check takes at most a few milliseconds."""

_TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{1,6});", re.IGNORECASE)
_SCRIPT = re.compile(r"function\s*\(|\{\s*[\w-]+\s*:[^{}]{0,200};|var\s+\w+\s*=|</script", re.IGNORECASE)
_LINK = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_BOILERPLATE = re.compile(
    r"\b(?:accept (?:all )?cookies|cookie (?:policy|settings|preferences)|privacy policy|terms of (?:use|service)"
    r"|terms and conditions|all rights reserved|sign (?:in|up)|log ?in|subscribe|newsletter|click here|read more"
    r"|share (?:this|on)|follow us|enable javascript|advertisement|skip to (?:main )?content|related articles"
    r"|most (?:read|popular)|page not found|access denied|are you a robot)\b",
    re.IGNORECASE,
)
# Windows-1252 leaves five bytes without a character; who reads them all the same takes them for controls.
_BYTES = {chr(byte): bytes([byte]) for byte in range(0x80, 0x100)} | {
    character: bytes([byte]) for byte in range(0x80, 0x100) if (character := bytes([byte]).decode("cp1252", "ignore"))
}
_FOLLOWING = "[" + "".join(character for character, byte in _BYTES.items() if byte < b"\xc0") + "]"
_PAIR, _LONGER = f"[Â-ß]{_FOLLOWING}", f"[à-ï]{_FOLLOWING}{{2}}|[ð-ô]{_FOLLOWING}{{3}}"
_MISREAD = re.compile(f"(?:(?<![A-ZÀ-Þ]){_PAIR}|(?<![^\\W\\d_])(?:{_LONGER}))(?:{_PAIR}|{_LONGER})*")
"""Letters and signs that are UTF-8 read as Windows-1252. In French `é` stands before a space and `»`, but not at the beginning
of a word; where small letters go before, `Å` and `Ð` are no capitals."""
_MEANT = re.compile(
    "[\u00c0-\u024f\u0370-\u052f\u05d0-\u05ea\u0620-\u06ff\u0900-\u0e7f\u1e00-\u1eff\u2010-\u2026\u20ac\u3001-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff01-\uff5e]"
)
"""Letters and signs of scripts in wide use: what a text may have held before it was misread."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found: `score` 0..1, and why it is not 1."""

    score: float
    reasons: tuple[str, ...]
    words: int
    """How many the text has; of a long one estimated from its beginning."""


@dataclass(frozen=True, slots=True)
class _Finding:
    penalty: float
    """Share of the score that is lost, 0..1."""
    reason: str


@dataclass(frozen=True)
class _Reading:
    """One text with the counts that several checks share."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        return words.words(self.text)

    @cached_property
    def letters(self) -> int:
        return words.letters(self.text)

    @cached_property
    def lines(self) -> list[str]:
        return [stripped for line in self.text.splitlines() if (stripped := line.strip())]


def assess(text: str) -> Quality:
    """Return how fit `text` is for training. A plain headline or sentence scores above 0.5, prose 1, rubbish near 0."""
    reading = _Reading(text[:READ_CHARS])
    findings = [finding for check in _CHECKS if (finding := check(reading)) is not None]
    score = 1.0
    for finding in findings:
        score *= 1 - finding.penalty
    reasons = tuple(finding.reason for finding in findings)
    return Quality(round(score, 3), reasons, _of_all(len(reading.words), text))


def count_words(text: str) -> int:
    """Return how many words a text has, as `assess` does."""
    return _of_all(len(words.words(text[:READ_CHARS])), text)


def _of_all(read: int, text: str) -> int:
    return round(read * max(1.0, len(text) / READ_CHARS))


def _too_short(reading: _Reading) -> _Finding | None:
    if reading.letters == 0:
        return _Finding(1.0, "no letters")
    if reading.letters < 3:  # noqa: PLR2004 - "Hm" is not a text; "USA" may be one
        return _Finding(0.8, f"too short: {reading.letters} letters")
    # Headlines and table cells of a few words are legitimate training texts: they lose little.
    if len(reading.words) < 3:  # noqa: PLR2004
        return _Finding(0.3, f"short: {len(reading.words)} words")
    return None


def _mostly_digits(reading: _Reading) -> _Finding | None:
    digits = sum(map(str.isdigit, reading.text))
    share = digits / max(digits + reading.letters, 1)
    if share <= 0.5:  # noqa: PLR2004 - most of what carries meaning
        return None
    # A line of a results table still names teams and places; a page of numbers teaches nothing.
    penalty = 0.8 if len(reading.text) > 400 else 0.25  # noqa: PLR2004 - longer than any sentence
    return _Finding(penalty, f"mostly digits: {share:.0%} of letters and digits")


def _shouting(reading: _Reading) -> _Finding | None:
    cased = sum(1 for character in reading.text if character.isupper() or character.islower())
    # A headline in capitals is house style, a page of them is not; nor is an acronym in a script without capitals.
    if cased < max(200, reading.letters / 2):
        return None
    share = sum(map(str.isupper, reading.text)) / cased
    return _Finding(0.6, f"shouting: {share:.0%} of the letters are capitals") if share > 0.6 else None  # noqa: PLR2004


def _markup(reading: _Reading) -> _Finding | None:
    remnants = [match.group() for match in _TAG.finditer(reading.text)]
    entities = [match.group() for match in _ENTITY.finditer(reading.text)]
    share = sum(map(len, remnants)) / max(len(reading.text), 1)
    if scripts := len(_SCRIPT.findall(reading.text)):
        return _Finding(min(0.9, 0.3 * scripts), f"markup remnants: {scripts} pieces of script or style")
    if share > 0.02:  # noqa: PLR2004 - below, a stray entity that the crawler left
        return _Finding(min(0.9, 3 * share), f"markup remnants: {share:.0%} of the characters, e.g. {remnants[0][:30]}")
    share = sum(map(len, entities)) / max(len(reading.text), 1)
    if share > 0.02:  # noqa: PLR2004
        # Every other word can still be read: a headline of three words with one `&amp;` is worth training on.
        return _Finding(min(0.4, 3 * share), f"HTML entities: {share:.0%} of the characters, e.g. {entities[0]}")
    return None


def _link_farm(reading: _Reading) -> _Finding | None:
    links = _LINK.findall(reading.text)
    share = sum(map(len, links)) / max(len(reading.text), 1)
    if len(links) >= 3 and share > 0.3:  # noqa: PLR2004 - a post with one link is a post
        return _Finding(0.8, f"link farm: {len(links)} links fill {share:.0%} of the text")
    return None


def _boilerplate(reading: _Reading) -> _Finding | None:
    phrases = Counter(match.group().lower() for match in _BOILERPLATE.finditer(reading.text))
    total = max(len(reading.words), 1)
    if len(phrases) >= 3 and 100 * phrases.total() / total > 5:  # noqa: PLR2004 - several phrases, thick on the page
        return _Finding(0.8, f"boilerplate: {', '.join(sorted(phrases)[:3])} and the like, {phrases.total()} in {total} words")
    return None


def _menu(reading: _Reading) -> _Finding | None:
    if len(reading.lines) < 12:  # noqa: PLR2004 - fewer short lines may be a poem or a list
        return None
    short = sum(1 for line in reading.lines if max(len(line.split()), len(words.words(line))) <= 3)  # noqa: PLR2004 - a menu item
    share = short / len(reading.lines)
    return _Finding(0.7, f"menu: {share:.0%} of {len(reading.lines)} lines have three words or fewer") if share > 0.7 else None  # noqa: PLR2004


def _paywall(reading: _Reading) -> _Finding | None:
    stub = paywalls.stub(reading.text)
    return _Finding(0.8, f"paywall: {stub.share:.0%} of the text asks to subscribe, e.g. {stub.example!r}") if stub else None


def _repetition(reading: _Reading) -> _Finding | None:
    lines = len(reading.lines)
    repeated = 1 - len(set(reading.lines)) / max(lines, 1)
    if lines >= 4 and repeated > 0.3:  # noqa: PLR2004
        return _Finding(min(0.9, repeated), f"repeated lines: {repeated:.0%} of {lines}")
    total = len(reading.words)
    different = len({word.lower() for word in reading.words})
    if total >= 50 and different / total < 0.2 * (500 / max(total, 500)) ** 0.5:  # noqa: PLR2004 - Heaps' law: fewer new words in longer texts
        return _Finding(0.8, f"repeated words: {different} different ones in {total}")
    return None


def _misread(text: str) -> int:
    """Return how many characters of UTF-8 were read as Windows-1252 or Latin-1; a single one is none."""
    found = [one for run in _MISREAD.findall(text) for one in _meant(run) if _MEANT.fullmatch(one)]
    return len(found) if len(found) >= 2 else 0  # noqa: PLR2004 - one may be a name in capitals before a quotation mark


def _meant(run: str) -> str:
    return b"".join(_BYTES[character] for character in run).decode(errors="replace")


def _undecodable(reading: _Reading) -> _Finding | None:
    # U+FFFD stands where a byte could not be decoded; "Ã" and "â€" where UTF-8 was read as Latin-1.
    lost = reading.text.count("\ufffd")
    latin = len(re.findall(r"Ã[\x80-\xbf©¤¶¥¨¼]|â€", reading.text))
    broken = lost + max(latin, _misread(reading.text))
    share = broken / max(len(reading.text), 1)
    return _Finding(min(0.9, 20 * share), f"wrongly decoded: {broken} broken characters") if share > 0.005 else None  # noqa: PLR2004


_CHECKS: Sequence[Callable[[_Reading], _Finding | None]] = (
    _too_short, _mostly_digits, _shouting, _markup, _link_farm, _boilerplate, _paywall, _menu, _repetition, _undecodable,
)  # fmt: skip
