r"""Words and letters of a text in whatever script it is written; pure.

Python's own `\w` leaves out combining marks, so it cuts a Tamil or Hindi word into single letters. Scripts that write no spaces
between words are counted by the usual length of a word, since no dictionary stands behind these counts.
"""

from __future__ import annotations

import regex

_WORD = regex.compile(r"[\p{L}\p{M}]+(?:['’\-\u200c\u200d][\p{L}\p{M}]+)*")
_LETTER = regex.compile(r"\p{L}")
# Written without spaces: ideographs and kana, where a word has about two characters ...
_IDEOGRAPHIC = r"\p{Han}\p{Hiragana}\p{Katakana}"
# ... and the alphabets of South East Asia, where it has about five.
_UNSPACED_ALPHABETS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_IDEOGRAPH = regex.compile(f"[{_IDEOGRAPHIC}]")
_UNSPACED = regex.compile(f"[{_IDEOGRAPHIC}]{{1,2}}|[{_UNSPACED_ALPHABETS}][{_UNSPACED_ALPHABETS}\\p{{M}}]{{0,4}}")
_CHARS_READ_AT_ONCE = 1_000
"""A very long run of letters is read in pieces of this many."""


def words(text: str) -> list[str]:
    """Return the words of `text` in order; a run without spaces is cut into pieces of a word's usual length."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if _UNSPACED.search(word[:_CHARS_READ_AT_ONCE]) is None:
            found.append(word)
        else:
            found.extend(_in_pieces(word))
    return found


def letters(text: str) -> int:
    """Return how many letters `text` has; an ideograph says as much as two letters of an alphabet."""
    return len(_LETTER.findall(text)) + len(_IDEOGRAPH.findall(text))


def _in_pieces(run: str) -> list[str]:
    pieces: list[str] = []
    end = 0
    for match in _UNSPACED.finditer(run):
        if match.start() > end:
            pieces.append(run[end : match.start()])
        pieces.append(match.group())
        end = match.end()
    return [*pieces, run[end:]] if end < len(run) else pieces
