"""Which code page a text in Latin letters is in: the one whose letters are those of the text's language; pure.

Code pages differ in few letters, so that a wrong one still gives letters: Hungarian `ő` read as cp1252 is `õ`. The letters of
plain ASCII, which are the same in all of them, tell the language, and the language which letters with marks it writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import regex

from consumers.text.language import probabilities

_WEST = "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿßœšž"
_CENTRE = "áâăäąćçčďđéęëěíîĺľłńňóôőöŕřśşšťţúůűüýźżžßșț"
_BALTIC = "äåæąāćčēėęéģīįķļłńņöõóōøŗšśüūųžźżß"
_COMMA_BELOW = str.maketrans("șțȘȚ", "şţŞŢ")
_TURKISH = "çğıöşüâîû"
_LATIN = frozenset(_WEST + _CENTRE + _BALTIC + _TURKISH)
ALPHABETS: Mapping[str, tuple[str, str]] = {
    "bs": ("čćđšž", _CENTRE), "ca": ("àçèéíïòóúü", _WEST), "cs": ("áčďéěíňóřšťúůýž", _CENTRE), "da": ("æøåé", _WEST),
    "de": ("äöüß", _WEST), "en": ("", _WEST), "es": ("áéíñóúü", _WEST), "et": ("äöõüšž", _BALTIC),
    "eu": ("ñçáéíóúü", _WEST), "fi": ("äöåšž", _WEST), "fr": ("àâæçèéêëîïôœùûüÿ", _WEST), "ga": ("áéíóú", _WEST),
    "gl": ("áéíñóúü", _WEST), "hr": ("čćđšž", _CENTRE), "hu": ("áéíóöőúüű", _CENTRE), "is": ("áðéíóúýþæö", _WEST),
    "it": ("àèéìîòóù", _WEST), "lt": ("ąčęėįšųūž", _BALTIC), "lv": ("āčēģīķļņšūž", _BALTIC),
    "nl": ("éèëïöüáóíê", _WEST), "nn": ("æøåéòô", _WEST), "no": ("æøåéòô", _WEST), "pl": ("ąćęłńóśźż", _CENTRE),
    "pt": ("àáâãçéêíóôõúü", _WEST), "ro": ("ăâîşţșț", _CENTRE), "sk": ("áäčďéíĺľňóôŕšťúýž", _CENTRE), "sl": ("čšž", _CENTRE),
    "sq": ("çë", _WEST), "sr": ("čćđšž", _CENTRE), "sv": ("åäöé", _WEST), "tr": (_TURKISH, _TURKISH),
}  # fmt: skip
"""By language: the small letters beyond ASCII that it writes, and those that names from abroad bring in its code pages."""
_BORROWED, _FOREIGN, _MARK = 0.5, 0.25, 0.9
"""What is worth less than a letter of the language: one that names bring in, another Latin letter, a sign that stands well."""
_SIGN = regex.compile(
    r"(?<![\p{L}\p{M}])[‘’“”„‚«»›–—¿¡•·€£§©°´…µ±×÷]"
    r"|[‘’“”»«›‹–—…·™®©°²³€´ªº](?![\p{L}\p{M}])|(?<=\p{L})[’‘´–—®™\xad](?=\p{L})|(?<=l)·(?=l)|[\xa0\u202f]"
)
"""Quotation marks, dashes and the like where they stand in texts: not within a word."""
_RAISED = regex.compile(r"(?<=\p{L})(?<!\bm)(?<!\b[kcdm]m)[²³]")
"""Raised digits at a word that is not a unit."""
_ODD_LETTER = regex.compile(
    r"(?<=\p{Ll})[^\P{Lu}\x00-\x7f]|[^\P{Ll}\x00-\x7f](?=\p{Lu})|(?<=\d)[^\P{L}\x00-\x7f](?=$|\s)", regex.MULTILINE
)
"""Where one case follows the other within a word, and letters at a number."""
_BEYOND = regex.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Reading:
    """One code page that a text may be in, the text as it would be, and what each character beyond ASCII is worth there."""

    page: str
    text: str
    worth: Mapping[int, float]
    """By position, 0..1: a letter of the text's language, or a sign where it may stand."""


def readings(sample: bytes, pages: Sequence[str]) -> list[Reading]:
    """Return the texts that `sample` may be, in the order of `pages`, each once. The pages have one byte a character."""
    found: dict[str, Reading] = {}
    for page in pages:
        try:
            text = sample.decode(page)
        except UnicodeDecodeError:
            continue
        # Two forms of one Romanian letter.
        same = text.translate(_COMMA_BELOW)
        if same not in found:
            found[same] = Reading(page, text, _worths(text))
    return list(found.values())


def better(one: Reading, other: Reading) -> float:
    """Return by how much `one` is the likelier reading, -1..1, by the characters that differ; 0 where none does."""
    differing = [at for at in one.worth.keys() | other.worth.keys() if one.text[at] != other.text[at]]
    return sum(one.worth.get(at, 0.0) - other.worth.get(at, 0.0) for at in differing) / max(len(differing), 1)


def _worths(text: str) -> dict[int, float]:
    languages = probabilities(text, ALPHABETS)
    letters: dict[str, float] = {}
    worth = {}
    for found in _BEYOND.finditer(text):
        letter = found[0].lower()
        if letter.isalpha():
            if letter not in letters:
                letters[letter] = sum(share * _of_letter(letter, *ALPHABETS[code]) for code, share in languages.items())
            worth[found.start()] = letters[letter]
        else:
            worth[found.start()] = 0.0
    for sign in _SIGN.finditer(text):
        if not sign[0].isascii():
            worth[sign.start()] = _MARK
    for pattern in (_RAISED, _ODD_LETTER):
        for found in pattern.finditer(text):
            worth[found.start()] = 0.0
    return worth


def _of_letter(letter: str, own: str, borrowed: str) -> float:
    if letter in own:
        return 1.0
    return _BORROWED if letter in borrowed else _FOREIGN if letter in _LATIN else 0.0
