"""HTML that feeds and crawlers leave in an article's title and body, as the text that a reader sees; pure.

Every step looks at each character a bounded number of times, whatever stands in the text.
"""

from __future__ import annotations

import html
import re

# Only tags that are certainly HTML: `<3`, `a < b` and `<stdin>` are text.
_INLINE = (
    "a|abbr|acronym|audio|b|bdi|bdo|big|button|cite|code|del|dfn|em|font|i|img|ins|kbd|label|mark|noscript|o:p|picture|q|s|samp"
    "|script|small|span|strike|strong|style|sub|sup|svg|time|tt|u|video|wbr|amp-[a-z0-9-]{1,40}"
    # With attributes only: `<source>` may be a text's own.
    r"|(?:embed|input|link|meta|object|param|source|track)(?=\s)"
)
_BLOCK = (
    "address|article|aside|blockquote|body|br|caption|center|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|head"
    "|header|hr|html|iframe|legend|li|main|nav|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul"
)
# A quoted attribute may hold `>`; no tag reaches over a `<`, so that each character is looked at from one tag only.
_ATTRIBUTES = r"""(?:(?:\s(?:[^<>"']|"[^"<]{0,2000}"|'[^'<]{0,2000}'){0,2000})?/?>|\s[^<>]{0,2000}>)"""
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}", re.IGNORECASE)
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCK}){_ATTRIBUTES}", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--|<(script|style|noscript|svg|head)(?=[\s>])", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
_CLOSING_OR_EMPTY = re.compile(rf"</(?:{_INLINE}|{_BLOCK})>|<(?:br|hr|img|p)\b", re.IGNORECASE)
# With its semicolon: `&copy=1` in an address is not a sign of copyright.
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});|&#[0-9]{2,7}(?![0-9A-Za-z;])")
_TIMES_ENCODED = 3
"""Some feeds encode what was encoded already: `&amp;#8217;`."""


def plain(text: str) -> str:
    """Return `text` without HTML tags, comments and scripts, its entities decoded; a text without them stays as it is.

    Tags that stand encoded beside tags are what the text is about; where all are encoded, as feeds do it, they are tags.
    """
    if "<![CDATA[" in text:
        text = _CDATA.sub("", text)
    seen = _without_tags(text) if "<" in text and ">" in text else text
    decoded = _entities_decoded(seen)
    return _entities_decoded(_without_tags(decoded)) if seen == text and _CLOSING_OR_EMPTY.search(decoded) else decoded


def _entities_decoded(text: str) -> str:
    for _time in range(_TIMES_ENCODED):
        decoded = _ENTITY.sub(_decoded, text) if "&" in text else text
        if decoded == text:
            break
        text = decoded
    return text


def _without_tags(text: str) -> str:
    seen = _INLINE_TAG.sub("", _without_unseen(text))
    lines, blocks = _BLOCK_TAG.subn("\n", seen)
    return "\n".join(stripped for line in lines.split("\n") if (stripped := line.strip())) if blocks else seen


def _without_unseen(text: str) -> str:
    """Return `text` without what a browser does not show: comments, scripts and styles that are closed."""
    folded = text.lower() if text.isascii() else "".join(map(_lower, text))
    kept: list[str] = []
    at = 0
    never_closed: set[str] = set()
    for opening in _UNSEEN.finditer(text):
        close = f"</{opening[1].lower()}" if opening[1] else "-->"
        if opening.start() < at or close in never_closed:
            continue
        found = folded.find(close, opening.end())
        end = text.find(">", found)
        if found < 0 or end < 0:
            never_closed.add(close)
            continue
        kept.append(text[at : opening.start()])
        at = end + 1
    return "".join([*kept, text[at:]])


def _lower(character: str) -> str:
    # Of the same length: some letters have two in lower case, and offsets must stay.
    return character.lower() if character.isascii() else character


def _decoded(match: re.Match[str]) -> str:
    # A character that no text may hold (NUL, a lone surrogate) or an unknown name stays as it was written.
    found = html.unescape(match.group())
    return found if "\0" not in found and "\ufffd" not in found else match.group()
