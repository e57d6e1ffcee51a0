"""HTML that feeds and crawlers leave in an article's title and body, as the text that a reader sees; pure.

Every step looks at each character a bounded number of times, whatever stands in the text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from html.entities import html5

# Only tags that are certainly HTML: `<3`, `a < b` and `<stdin>` are text.
_INLINE = (
    "a|abbr|acronym|applet|area|audio|b|base|basefont|bdi|bdo|big|button|canvas|cite|code|data|del|dfn|em|embed|font|frame|i|img|input"
    "|ins|kbd|label|link|map|mark|math|meta|meter|mfrac|mi|mn|mo|mrow|msqrt|msub|msup|mtext|nobr|noscript|o:p|object|output|param"
    "|picture|progress|q|rb|rp|rt|rtc|ruby|s|samp|script|slot|small|source|span|strike|strong|style|sub|sup|svg|template|time|track|tt"
    "|u|var|video|wbr|amp-[a-z0-9-]{1,40}"
)
_BLOCK = (
    "address|article|aside|blockquote|body|br|caption|center|col|colgroup|datalist|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|frameset|h[1-6]|head|header|hgroup|hr|html|iframe|legend|li|main|marquee|menu|nav|noframes|ol|optgroup|option"
    "|p|pre|search|section|select|summary|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul"
)
_MAY_BE_WORDS = frozenset({
    "area", "base", "col", "data", "dialog", "dir", "embed", "frame", "input", "label", "link", "map", "menu", "meta", "meter",
    "object", "output", "param", "progress", "search", "slot", "source", "template", "time", "title", "track", "var",
})  # fmt: skip
"""Alone, such as `<source>`, they may be a text's own; with attributes or where they are closed they are tags."""
_WITHOUT_VALUE = (
    "allowfullscreen|async|autofocus|autoplay|border|checked|clear|compact|contenteditable|controls|crossorigin|declare|default|defer"
    "|disabled|download|draggable|formnovalidate|frameborder|hidden|inert|ismap|itemscope|loop|multiple|muted|nohref|nomodule|noresize"
    "|noshade|novalidate|nowrap|open|playsinline|readonly|required|reversed|sandbox|scoped|selected|spellcheck|translate|truespeed"
    "|typemustmatch|(?:aria|data|ng|v|x)-[a-z0-9:.-]{1,60}"
)
# A quoted attribute may hold `>`; no tag reaches over a `<`, so that each character is looked at from one tag only.
_ATTRIBUTES = r"""(?P<attributes>(?:\s(?:[^<>"']|"[^"<]{0,2000}"|'[^'<]{0,2000}'){0,2000})?/?>|\s[^<>]{0,2000}>)"""
_ARE_ATTRIBUTES = re.compile(rf"\s*(?:/?>|[^\s\"'<>/=]{{1,100}}\s*=|(?:{_WITHOUT_VALUE})(?=[\s/>]))", re.IGNORECASE)
"""How they begin; anything else behind a name is words: `if a<b and c>d`."""
_INLINE_TAG = re.compile(rf"<(?P<closes>/?)(?P<name>{_INLINE}){_ATTRIBUTES}", re.IGNORECASE)
_BLOCK_TAG = re.compile(rf"<(?P<closes>/?)(?P<name>{_BLOCK}){_ATTRIBUTES}", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--|<(script|style|noscript|svg|head|template|rt|rp)(?=[\s>])", re.IGNORECASE)
_DECLARATION = re.compile(r"<!doctype(?:\s[^<>]{0,2000})?>|<\?[a-z][^<>]{0,2000}\?>|<!\[(?:if|endif)[^<>]{0,200}>", re.IGNORECASE)
"""What stands before a page and between its parts, for programs."""
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
_CLOSING_OR_EMPTY = re.compile(rf"</(?:{_INLINE}|{_BLOCK})>|<(?:br|hr|img|p)\b", re.IGNORECASE)
# With its semicolon: `&copy=1` in an address is not a sign of copyright.
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});|&#[0-9]{2,7}(?![0-9A-Za-z;])")
_CLOSED = re.compile(r"</([a-z]{1,10})\s{0,10}>", re.IGNORECASE)
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
    closed = {name.lower() for name in _CLOSED.findall(text)}
    shown = _DECLARATION.sub("", _without_unseen(text))
    seen = _INLINE_TAG.sub(lambda tag: "" if _is_tag(tag, closed) else tag.group(), shown)
    lines = _BLOCK_TAG.sub(lambda tag: "\n" if _is_tag(tag, closed) else tag.group(), seen)
    return seen if lines == seen else "\n".join(stripped for line in lines.split("\n") if (stripped := line.strip()))


def _is_tag(found: re.Match[str], closed: Collection[str]) -> bool:
    name, attributes = found["name"].lower(), found["attributes"]
    if not found["closes"] and name in _MAY_BE_WORDS and name not in closed and attributes.strip(" /") == ">":
        return False
    return _ARE_ATTRIBUTES.match(attributes) is not None


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
    # A character that no text may hold (NUL, a lone surrogate) or an unknown name stays as it was written. The library would
    # take the beginning of a name for a shorter one: `&notanentity;`.
    entity = match.group()
    found = html.unescape(entity) if entity[1] == "#" else html5.get(entity[1:], entity)
    return found if "\0" not in found and "\ufffd" not in found else match.group()
